"""PPO's critic: rewards of tokens and returns by hand, GAE against its defining sum, the value loss."""

from pathlib import Path
from typing import Any

import pytest
import torch
from rl_arms import arm, read
from rl_toy import toy_policy, train_toy
from torch import Tensor

from echochamber.rl.ppo import clipped_value_loss, explained_variance, gae, token_rewards


def _mask(*lengths: int, width: int) -> Tensor:
    return torch.arange(width) < torch.tensor(lengths)[:, None]


def test_token_rewards_by_hand() -> None:
    penalty = 0.5 * torch.tensor([[0.1, 0.2, 9.0], [0.3, 0.1, 0.2]])
    out = token_rewards(torch.tensor([1.0, 0.0]), penalty, _mask(2, 3, width=3))
    torch.testing.assert_close(out, torch.tensor([[-0.05, 0.9, 0.0], [-0.15, -0.05, -0.1]]))


def _gae_by_definition(
    reward: list[float], value: list[float], gamma: float, lam: float
) -> tuple[list[float], list[float]]:
    length = len(reward)
    ahead = [*value, 0.0]
    delta = [reward[t] + gamma * ahead[t + 1] - ahead[t] for t in range(length)]
    out = [sum((gamma * lam) ** k * delta[t + k] for k in range(length - t)) for t in range(length)]
    return out, [a + v for a, v in zip(out, value, strict=True)]


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.95), (0.9, 0.8), (1.0, 1.0), (0.99, 0.0)])
def test_gae_equals_its_defining_sum(gamma: float, lam: float) -> None:
    generator = torch.Generator().manual_seed(5)
    lengths = (1, 4, 7, 0)
    mask = _mask(*lengths, width=7)
    reward = torch.randn(4, 7, generator=generator, dtype=torch.float64)
    value = torch.randn(4, 7, generator=generator, dtype=torch.float64)
    dirty_reward, dirty_value = reward.clone(), value.clone()
    dirty_reward[~mask] = dirty_value[~mask] = float("nan")
    advantage, returns = gae(dirty_reward, dirty_value, mask, gamma=gamma, lam=lam)
    for row, length in enumerate(lengths):
        expected, expected_returns = _gae_by_definition(
            reward[row, :length].tolist(), value[row, :length].tolist(), gamma, lam
        )
        assert advantage[row, :length].tolist() == pytest.approx(expected, abs=1e-12)
        assert returns[row, :length].tolist() == pytest.approx(expected_returns, abs=1e-12)
        assert (advantage[row, length:] == 0).all() and (returns[row, length:] == 0).all()


def test_clipped_value_loss_by_hand() -> None:
    value, old = torch.tensor([[1.0, 1.0, 0.1]]), torch.tensor([[0.0, 0.9, 0.0]])
    returns = torch.tensor([[2.0, 2.0, 0.05]])
    loss, clipped = clipped_value_loss(value, old, returns, _mask(3, width=3), clip=0.2)
    # First: clipped to 0.2, error 1.8 > 1. Second and third: inside the clip.
    torch.testing.assert_close(loss, torch.tensor([[1.62, 0.5, 0.00125]]))
    assert clipped.tolist() == [[True, False, False]]
    plain, none = clipped_value_loss(value, old, returns, _mask(3, width=3), clip=None)
    torch.testing.assert_close(plain, torch.tensor([[0.5, 0.5, 0.00125]]))
    assert not none.any()


def test_explained_variance() -> None:
    mask = _mask(3, width=3)
    returns = torch.tensor([[1.0, 2.0, 3.0]])
    assert explained_variance(returns, returns, mask) == 1.0
    assert explained_variance(torch.zeros(1, 3), returns, mask) == 0.0
    assert explained_variance(-returns, returns, mask) == pytest.approx(-3.0)
    assert explained_variance(returns, torch.ones(1, 3), mask) != explained_variance(returns, returns, mask)


def test_the_gradient_of_the_value_loss_is_that_of_the_larger_error() -> None:
    """0.5 x max of two squares: the error of the value itself, or 0 where the clipped one is larger."""
    value = torch.tensor([[1.0, 1.0, 0.1, float("nan")]], dtype=torch.float64, requires_grad=True)
    old = torch.tensor([[0.0, 0.9, 0.0, float("nan")]], dtype=torch.float64)
    returns = torch.tensor([[2.0, 2.0, 0.05, float("nan")]], dtype=torch.float64)
    loss, _ = clipped_value_loss(value, old, returns, _mask(3, width=4), clip=0.2)
    loss.sum().backward()
    assert value.grad is not None
    torch.testing.assert_close(value.grad, torch.tensor([[0.0, -1.0, 0.05, 0.0]], dtype=torch.float64))


def test_ppo_records_its_critic_and_warms_it_up(tmp_path: Path) -> None:
    start = toy_policy().state_dict()
    policy = toy_policy()
    moved: list[bool] = []

    def look(step: int, current: Any) -> None:
        moved.append(any(not v.equal(start[k]) for k, v in current.state_dict().items()))

    train_toy(arm("ppo", tmp_path), tmp_path, policy=policy, steps=(1, 2), on_step=look)
    assert moved == [False, True]
    rows = read(tmp_path)
    assert all({"value_loss", "explained_variance", "critic_grad_norm"} <= row.keys() for row in rows)
