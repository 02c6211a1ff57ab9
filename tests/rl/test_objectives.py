"""Objectives: values worked by hand, gradients by finite differences, masks and weights."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from echochamber.rl import objectives as obj
from echochamber.rl.ppo import clipped_value_loss

ESTIMATORS = ("k1", "k2", "k3")


def _mask(*lengths: int, width: int) -> Tensor:
    return torch.arange(width) < torch.tensor(lengths)[:, None]


def test_kl_estimators_by_hand() -> None:
    # Policy 0.5, reference 0.25: r = log(ref / policy) = -log 2.
    logp, ref = torch.tensor([[0.5]]).double().log(), torch.tensor([[0.25]]).double().log()
    mask = torch.ones(1, 1, dtype=torch.bool)
    assert obj.kl_estimate(logp, ref, mask, "k1").item() == pytest.approx(math.log(2), rel=1e-14)
    assert obj.kl_estimate(logp, ref, mask, "k2").item() == pytest.approx(math.log(2) ** 2 / 2, rel=1e-14)
    assert obj.kl_estimate(logp, ref, mask, "k3").item() == pytest.approx(0.5 - 1 + math.log(2), rel=1e-14)


def test_clipped_surrogate_by_hand() -> None:
    ratios = [1.5, 0.5, 1.5, 0.5, 1.1]
    advantages = [1.0, 1.0, -1.0, -1.0, 2.0]
    # min(rho A, clip(rho) A): above the upper clip a gain is cut, a loss is not.
    expected = [-1.2, -0.5, 1.5, 0.8, -2.2]
    out = obj.clipped_surrogate(
        torch.tensor([ratios]).double().log(), torch.tensor([advantages]).double(), _mask(5, width=5)
    )
    torch.testing.assert_close(out.loss_BT, torch.tensor([expected]).double())
    assert out.clipped_high_BT.tolist() == [[True, False, False, False, False]]
    assert out.clipped_low_BT.tolist() == [[False, False, False, True, False]]


def test_clip_higher_moves_the_upper_bound_only() -> None:
    log_ratio = torch.tensor([[1.5, 0.5]]).double().log()
    advantage = torch.tensor([[1.0, -1.0]]).double()
    out = obj.clipped_surrogate(log_ratio, advantage, _mask(2, width=2), clip_low=0.2, clip_high=0.28)
    torch.testing.assert_close(out.loss_BT, torch.tensor([[-1.28, 0.8]]).double())


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.2), (1.0, 0.2), (0.2, 0.0), (0.2, -1.0)])
def test_senseless_clips_are_refused(low: float, high: float) -> None:
    zero = torch.zeros(1, 1)
    with pytest.raises(ValueError, match="clip_low must lie"):
        obj.clipped_surrogate(zero, zero, zero.bool(), clip_low=low, clip_high=high)


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        obj.clipped_surrogate(torch.zeros(2, 3), torch.zeros(2, 1), torch.ones(2, 3, dtype=torch.bool))


def test_log_ratio_levels_by_hand() -> None:
    logp = torch.tensor([[-1.0, -2.0, 99.0], [-1.0, -1.0, -1.0]])
    old = torch.tensor([[-1.5, -2.1, 7.0], [-2.0, -1.0, -1.0]])
    mask = _mask(2, 3, width=3)
    token = obj.log_ratio(logp, old, mask)
    torch.testing.assert_close(token, torch.tensor([[0.5, 0.1, 0.0], [1.0, 0.0, 0.0]]))
    mean = obj.log_ratio(logp, old, mask, "sequence_mean")
    torch.testing.assert_close(mean, torch.tensor([[0.3, 0.3, 0.0], [1 / 3, 1 / 3, 1 / 3]]))
    total = obj.log_ratio(logp, old, mask, "sequence_sum")
    torch.testing.assert_close(total, torch.tensor([[0.6, 0.6, 0.0], [1.0, 1.0, 1.0]]))


def test_truncated_importance_weight_by_hand() -> None:
    old = torch.tensor([[0.5, 0.1, float("nan")]]).log()
    rollout = torch.tensor([[0.25, 0.2, 0.1]]).log()
    weight = obj.truncated_importance_weight(old, rollout, _mask(2, width=3), cap=1.5)
    torch.testing.assert_close(weight, torch.tensor([[1.5, 0.5, 1.0]]))


def test_normalized_advantages_have_mean_0_and_std_1_over_tokens() -> None:
    mask = _mask(2, 3, width=3)
    out = obj.normalize_over_tokens(torch.tensor([[1.0, 2.0, float("nan")], [3.0, 4.0, 5.0]]), mask)
    torch.testing.assert_close(out[mask], torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0]) / 2**0.5)
    assert (out[~mask] == 0).all()
    assert (obj.normalize_over_tokens(torch.ones(2, 3), mask) == 0).all()


def test_aggregations_by_hand() -> None:
    term = torch.tensor([[1.0, 3.0, 99.0, 99.0], [2.0, 2.0, 2.0, 6.0]])
    mask = _mask(2, 4, width=4)
    expected = {
        "sequence_mean": (2.0 + 3.0) / 2,
        "token_mean": 16.0 / 6,
        "constant": 16.0 / (2 * 5),
        "sequence_sum": 16.0 / 2,
    }
    for aggregation, value in expected.items():
        weight = obj.token_weights(mask, aggregation, torch.float32)  # type: ignore[arg-type]
        normalizer = obj.normalizer_of(2, 6, 5, aggregation)  # type: ignore[arg-type]
        assert obj.weighted_sum(term, weight, mask).item() / normalizer == pytest.approx(value), aggregation


def _objective(name: str, logp: Tensor, constants: dict[str, Tensor], mask: Tensor) -> Tensor:
    """Each term of the objectives as a function of the log-probabilities alone."""
    if name in ESTIMATORS:
        term = obj.kl_estimate(logp, constants["ref"], mask, name)  # type: ignore[arg-type]
    elif name == "value":
        term, _ = clipped_value_loss(logp, constants["old"], constants["ref"], mask)
    else:
        ratio = obj.log_ratio(logp, constants["old"], mask, name)  # type: ignore[arg-type]
        term = obj.clipped_surrogate(ratio, constants["advantage"], mask).loss_BT
    return obj.weighted_sum(term, obj.token_weights(mask, "sequence_mean", torch.float64), mask)


def _numeric_gradient(fn: Callable[[Tensor], Tensor], at: Tensor, h: float = 1e-6) -> Tensor:
    gradient = torch.zeros_like(at)
    for index in range(at.numel()):
        step = torch.zeros_like(at).flatten()
        step[index] = h
        step = step.view_as(at)
        gradient.view(-1)[index] = (fn(at + step) - fn(at - step)) / (2 * h)
    return gradient


@pytest.mark.parametrize("name", [*ESTIMATORS, "token", "sequence_mean", "sequence_sum", "value"])
def test_gradient_of_every_term_matches_finite_differences(name: str) -> None:
    generator = torch.Generator().manual_seed(3)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    mask = _mask(3, 5, 1, width=5)
    logp = -draw(3, 5).abs() - 0.1
    constants = {"ref": logp + 0.4 * draw(3, 5), "old": logp + 0.3 * draw(3, 5), "advantage": draw(3, 5)}
    logp.requires_grad_(True)
    _objective(name, logp, constants, mask).backward()
    assert logp.grad is not None
    numeric = _numeric_gradient(lambda x: _objective(name, x, constants, mask), logp.detach())
    torch.testing.assert_close(logp.grad, numeric, rtol=1e-7, atol=1e-9)
    assert logp.grad[mask].abs().max() > 1e-3
    assert (logp.grad[~mask] == 0).all()


@pytest.mark.parametrize("name", [*ESTIMATORS, "token", "sequence_mean", "value"])
def test_masked_entries_may_hold_anything_and_get_no_gradient(name: str) -> None:
    mask = _mask(1, 2, width=3)
    logp = torch.full((2, 3), -0.7, dtype=torch.float64)
    constants = {k: torch.full_like(logp, v) for k, v in {"ref": -0.5, "old": -0.6, "advantage": 1.0}.items()}
    clean = _objective(name, logp, constants, mask)
    for tensor in (logp, *constants.values()):
        tensor[~mask] = float("nan")
    logp.requires_grad_(True)
    dirty = _objective(name, logp, constants, mask)
    dirty.backward()
    assert dirty.item() == clean.item()
    assert logp.grad is not None and torch.isfinite(logp.grad).all() and (logp.grad[~mask] == 0).all()


def test_k3_has_no_gradient_at_the_reference_and_one_away_from_it() -> None:
    mask = torch.ones(1, 1, dtype=torch.bool)
    slopes = []
    for distance in (0.0, 0.1, 0.5):
        logp = torch.tensor([[-1.0 + distance]], dtype=torch.float64, requires_grad=True)
        obj.kl_estimate(logp, torch.tensor([[-1.0]], dtype=torch.float64), mask, "k3").sum().backward()
        assert logp.grad is not None
        slopes.append(logp.grad.item())
        assert slopes[-1] == pytest.approx(1 - math.exp(-distance), abs=1e-15)
    assert slopes[0] == 0.0 < slopes[1] < slopes[2]


def test_expected_gradients_tell_what_each_kl_estimator_optimizes() -> None:
    """E[grad k1] = 0, E[grad k2] = grad KL(policy || ref), E[grad k3] = grad KL(ref || policy)."""
    logits = torch.tensor([0.3, -0.2, 1.0], dtype=torch.float64, requires_grad=True)
    ref = torch.log_softmax(torch.tensor([-0.5, 0.4, 0.2], dtype=torch.float64), dim=0)
    mask = torch.ones(3, 1, dtype=torch.bool)

    def expected_gradient(estimator: str) -> Tensor:
        logp = torch.log_softmax(logits, dim=0)
        values = obj.kl_estimate(logp[:, None], ref[:, None], mask, estimator)[:, 0]  # type: ignore[arg-type]
        return torch.autograd.grad((logp.exp().detach() * values).sum(), logits)[0]

    logp = torch.log_softmax(logits, dim=0)
    reverse = torch.autograd.grad((logp.exp() * (logp - ref)).sum(), logits, retain_graph=True)[0]
    forward = torch.autograd.grad((ref.exp() * (ref - logp)).sum(), logits)[0]
    torch.testing.assert_close(expected_gradient("k1"), torch.zeros(3).double(), rtol=0, atol=1e-15)
    torch.testing.assert_close(expected_gradient("k2"), reverse, rtol=1e-13, atol=1e-15)
    torch.testing.assert_close(expected_gradient("k3"), forward, rtol=1e-13, atol=1e-15)
