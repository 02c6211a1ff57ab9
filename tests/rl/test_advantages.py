"""Advantages: values worked by hand, GAE against its defining sum."""

import pytest
import torch
from torch import Tensor

from echochamber.rl import advantages as adv


def _mask(*lengths: int, width: int) -> Tensor:
    return torch.arange(width) < torch.tensor(lengths)[:, None]


def test_group_advantages_by_hand() -> None:
    reward = torch.tensor([[1.0, 0.0, 0.0, 1.0], [1.0, 1.0, 1.0, 1.0]], dtype=torch.float64)
    std = (4 * 0.25 / 3) ** 0.5
    expected = torch.tensor([[0.5, -0.5, -0.5, 0.5], [0.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(adv.group_advantages(reward), expected / (std + 1e-9))
    torch.testing.assert_close(adv.group_advantages(reward, scale="none"), expected)
    overall = reward.std().item()
    torch.testing.assert_close(adv.group_advantages(reward, scale="batch_std"), expected / (overall + 1e-9))


def test_equal_rewards_give_exactly_zero_whatever_the_rounding() -> None:
    for value in (0.1, 1 / 3, 0.7, 1e9 + 0.1):
        for dtype in (torch.float32, torch.float64):
            reward = torch.full((1, 7), value, dtype=dtype)
            assert (adv.group_advantages(reward) == 0).all()
            assert (adv.leave_one_out_advantages(reward) == 0).all()


def test_leave_one_out_by_hand() -> None:
    reward = torch.tensor([[3.0, 0.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(
        adv.leave_one_out_advantages(reward), torch.tensor([[3.0, -1.5, -1.5]], dtype=torch.float64)
    )


def test_a_group_of_one_has_no_baseline() -> None:
    for fn in (adv.group_advantages, adv.leave_one_out_advantages):
        with pytest.raises(ValueError, match="at least 2 samples"):
            fn(torch.ones(3, 1))


def test_no_signal() -> None:
    assert adv.no_signal(torch.tensor([[1.0, 1.0], [0.0, 0.0], [0.0, 1.0]])).tolist() == [True, True, False]


def test_token_rewards_by_hand() -> None:
    kl = torch.tensor([[0.1, 0.2, 9.0], [0.3, 0.1, 0.2]])
    out = adv.token_rewards(torch.tensor([1.0, 0.0]), kl, _mask(2, 3, width=3), kl_coefficient=0.5)
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
    advantage, returns = adv.gae(dirty_reward, dirty_value, mask, gamma=gamma, lam=lam)
    for row, length in enumerate(lengths):
        expected, expected_returns = _gae_by_definition(
            reward[row, :length].tolist(), value[row, :length].tolist(), gamma, lam
        )
        assert advantage[row, :length].tolist() == pytest.approx(expected, abs=1e-12)
        assert returns[row, :length].tolist() == pytest.approx(expected_returns, abs=1e-12)
        assert (advantage[row, length:] == 0).all() and (returns[row, length:] == 0).all()


def test_discounted_returns_by_hand() -> None:
    reward = torch.tensor([[1.0, 2.0, 4.0]])
    torch.testing.assert_close(
        adv.discounted_returns(reward, _mask(3, width=3), gamma=0.5), torch.tensor([[3.0, 4.0, 4.0]])
    )


def test_normalised_advantages_have_mean_0_and_std_1_over_tokens() -> None:
    mask = _mask(2, 3, width=3)
    out = adv.normalize_over_tokens(torch.tensor([[1.0, 2.0, float("nan")], [3.0, 4.0, 5.0]]), mask)
    torch.testing.assert_close(out[mask], torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0]) / 2**0.5)
    assert (out[~mask] == 0).all()
    assert (adv.normalize_over_tokens(torch.ones(2, 3), mask) == 0).all()


def test_explained_variance() -> None:
    mask = _mask(3, width=3)
    returns = torch.tensor([[1.0, 2.0, 3.0]])
    assert adv.explained_variance(returns, returns, mask) == 1.0
    assert adv.explained_variance(torch.zeros(1, 3), returns, mask) == 0.0
    assert adv.explained_variance(-returns, returns, mask) == pytest.approx(-3.0)
    assert adv.explained_variance(returns, torch.ones(1, 3), mask) != adv.explained_variance(
        returns, returns, mask
    )
