"""Losses against hand-worked values, PyTorch's own, and finite differences."""

import math

import pytest
import torch
from torch import nn

from echochamber.train import LossSum, linear_cross_entropy, losses, token_logprobs


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven logits per chunk: every test crosses chunk borders."""
    monkeypatch.setattr(losses, "CPU_CHUNK_ELEMENTS", 22)


def random_logits(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_logprobs_by_hand() -> None:
    logits = torch.log(torch.tensor([[[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]]])) + 3.0
    logp = token_logprobs(logits, torch.tensor([[0, 2]]))
    torch.testing.assert_close(logp, torch.log(torch.tensor([[0.5, 0.7]])))
    forbidden = token_logprobs(torch.tensor([[[0.0, 0.0, -math.inf]]]), torch.tensor([[0]]))
    assert forbidden.item() == pytest.approx(math.log(0.5))


def test_logprobs_equal_the_plain_formula_and_carry_no_gradient() -> None:
    logits = random_logits(2, 5, 7).requires_grad_()
    targets = torch.arange(10).view(2, 5) % 7
    plain = torch.log_softmax(logits, -1).gather(-1, targets[..., None])[..., 0]
    ours = token_logprobs(logits, targets)
    torch.testing.assert_close(ours, plain.detach(), rtol=1e-13, atol=1e-13)
    assert not ours.requires_grad


def test_half_precision_logits_are_summed_in_float32() -> None:
    logits = random_logits(1, 4, 11).to(torch.bfloat16)
    targets = torch.tensor([[1, 2, 3, 4]])
    found = token_logprobs(logits, targets)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, token_logprobs(logits.float(), targets))


def cross_entropy(
    logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """PyTorch's own, summed."""
    nll = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
    return nll.sum() if weights is None else (nll * weights.flatten()).sum()


def test_the_loss_counts_the_weights_of_its_tokens() -> None:
    hidden, head = random_logits(2, 3, 4), random_logits(5, 4, seed=2)
    targets = torch.tensor([[0, 1, 2], [3, 4, 0]])
    weights = torch.tensor([[1.0, 0.0, 2.0], [1.0, 1.0, 0.5]], dtype=torch.float64)
    assert linear_cross_entropy(hidden, head, targets, weights).metrics["tokens"].item() == 5.5
    assert linear_cross_entropy(hidden, head, targets).metrics["tokens"].item() == 6


def test_a_token_of_weight_zero_passes_no_gradient_even_from_nan() -> None:
    hidden, head = random_logits(1, 3, 4), random_logits(5, 4, seed=2)
    hidden[0, 1] = math.nan
    hidden.requires_grad_()
    weights = torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64)
    loss: LossSum = linear_cross_entropy(hidden, head, torch.zeros(1, 3, dtype=torch.long), weights)
    loss.total.backward()
    assert torch.equal(hidden.grad[0, 1], torch.zeros(4, dtype=torch.float64))
    assert hidden.grad[0, 0].abs().sum() > 0


@pytest.mark.parametrize("weighted", [False, True])
def test_fused_linear_loss_equals_the_plain_one_with_its_gradients(weighted: bool) -> None:
    hidden, head = random_logits(2, 5, 3), random_logits(7, 3, seed=2)
    targets = torch.arange(10).view(2, 5) % 7
    weights = torch.arange(10, dtype=torch.float64).view(2, 5) if weighted else None
    results = []
    for fused in (False, True):
        h, w = hidden.clone().requires_grad_(), head.clone().requires_grad_()
        total = (
            linear_cross_entropy(h, w, targets, weights).total
            if fused
            else cross_entropy(h @ w.T, targets, weights)
        )
        (total * 0.3).backward()
        results.append((total.detach(), h.grad, w.grad))
    for plain, ours in zip(*results, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-12, atol=1e-13)


def test_fused_linear_loss_without_gradients() -> None:
    hidden, head = random_logits(1, 4, 3), random_logits(5, 3, seed=2)
    targets = torch.tensor([[0, 1, 2, 3]])
    with torch.no_grad():
        found = linear_cross_entropy(hidden, head, targets)
    assert found.total.item() == pytest.approx(cross_entropy(hidden @ head.T, targets).item(), rel=1e-13)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="do not match"):
        token_logprobs(torch.zeros(2, 3, 4), torch.zeros(2, 4, dtype=torch.long))
    with pytest.raises(ValueError, match="do not match"):
        linear_cross_entropy(torch.zeros(2, 3, 4), torch.zeros(7, 5), torch.zeros(2, 3, dtype=torch.long))
