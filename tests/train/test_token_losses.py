"""Losses against hand-worked values, PyTorch's own, and finite differences."""

import math

import pytest
import torch
from torch import nn

from echochamber.train import cross_entropy, linear_cross_entropy, objectives, token_logprobs


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven logits a chunk: every test crosses chunk borders."""
    monkeypatch.setattr(objectives, "CPU_CHUNK_ELEMENTS", 22)


def random_logits(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_logprobs_by_hand() -> None:
    logits = torch.log(torch.tensor([[[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]]])) + 3.0
    logp = token_logprobs(logits, torch.tensor([[0, 2]]))
    torch.testing.assert_close(logp, torch.log(torch.tensor([[0.5, 0.7]])))
    # Temperature 1/2 squares the odds: 0.25 / (0.25 + 0.0625 + 0.0625) = 2/3.
    hot = token_logprobs(logits[:, :1], torch.tensor([[0]]), temperature=0.5)
    assert hot.item() == pytest.approx(math.log(2 / 3))


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_logprobs_equal_the_plain_formula_with_its_gradient(temperature: float) -> None:
    logits = random_logits(2, 5, 7).requires_grad_()
    targets = torch.arange(10).view(2, 5) % 7
    plain = torch.log_softmax(logits / temperature, -1).gather(-1, targets[..., None])[..., 0]
    upstream = random_logits(2, 5, seed=1)
    (expected,) = torch.autograd.grad(plain, logits, upstream)
    ours = token_logprobs(logits, targets, temperature=temperature)
    (found,) = torch.autograd.grad(ours, logits, upstream)
    torch.testing.assert_close(ours, plain, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)
    assert torch.autograd.gradcheck(lambda z: token_logprobs(z, targets, temperature=temperature), logits)


def test_a_masked_token_passes_no_gradient_even_from_nan_logits() -> None:
    logits = random_logits(1, 3, 4)
    logits[0, 1] = math.nan
    logits.requires_grad_()
    mask = torch.tensor([[True, False, True]])
    torch.where(mask, token_logprobs(logits, torch.zeros(1, 3, dtype=torch.long)), 0.0).sum().backward()
    assert torch.equal(logits.grad[0, 1], torch.zeros(4, dtype=torch.float64))
    assert logits.grad[0, 0].abs().sum() > 0


def test_forbidden_tokens_get_no_probability_and_no_gradient() -> None:
    logits = torch.tensor([[[0.0, 0.0, -math.inf]]], requires_grad=True)
    logp = token_logprobs(logits, torch.tensor([[0]]))
    logp.sum().backward()
    assert logp.item() == pytest.approx(math.log(0.5))
    torch.testing.assert_close(logits.grad, torch.tensor([[[0.5, -0.5, 0.0]]]))


def test_half_precision_logits_are_summed_in_float32() -> None:
    logits = random_logits(1, 4, 11).to(torch.bfloat16)
    targets = torch.tensor([[1, 2, 3, 4]])
    found = token_logprobs(logits, targets)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, token_logprobs(logits.float(), targets))


def test_cross_entropy_sums_weighted_tokens() -> None:
    logits = random_logits(2, 3, 5)
    targets = torch.tensor([[0, 1, 2], [3, 4, 0]])
    weights = torch.tensor([[1.0, 0.0, 2.0], [1.0, 1.0, 0.5]], dtype=torch.float64)
    expected = nn.functional.cross_entropy(logits.view(-1, 5), targets.view(-1), reduction="none").view(2, 3)
    found = cross_entropy(logits, targets, weights)
    assert found.total.item() == pytest.approx((expected * weights).sum().item(), rel=1e-13)
    assert found.metrics["tokens"].item() == 5.5
    assert cross_entropy(logits, targets).total.item() == pytest.approx(expected.sum().item(), rel=1e-13)


@pytest.mark.parametrize("weighted", [False, True])
def test_fused_linear_loss_equals_the_plain_one_with_its_gradients(weighted: bool) -> None:
    hidden, head = random_logits(2, 5, 3), random_logits(7, 3, seed=2)
    targets = torch.arange(10).view(2, 5) % 7
    weights = torch.arange(10, dtype=torch.float64).view(2, 5) if weighted else None
    results = []
    for fused in (False, True):
        h, w = hidden.clone().requires_grad_(), head.clone().requires_grad_()
        loss = (
            linear_cross_entropy(h, w, targets, weights)
            if fused
            else cross_entropy(h @ w.T, targets, weights)
        )
        (loss.total * 0.3).backward()
        results.append((loss.total.detach(), h.grad, w.grad))
    for plain, ours in zip(*results, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-12, atol=1e-13)


def test_fused_linear_loss_without_gradients() -> None:
    hidden, head = random_logits(1, 4, 3), random_logits(5, 3, seed=2)
    targets = torch.tensor([[0, 1, 2, 3]])
    with torch.no_grad():
        found = linear_cross_entropy(hidden, head, targets)
    assert found.total.item() == pytest.approx(
        cross_entropy(hidden @ head.T, targets).total.item(), rel=1e-13
    )


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="do not match"):
        token_logprobs(torch.zeros(2, 3, 4), torch.zeros(2, 4, dtype=torch.long))
    with pytest.raises(ValueError, match="temperature"):
        token_logprobs(torch.zeros(1, 1, 4), torch.zeros(1, 1, dtype=torch.long), temperature=0.0)
    with pytest.raises(ValueError, match="do not match"):
        linear_cross_entropy(torch.zeros(2, 3, 4), torch.zeros(7, 5), torch.zeros(2, 3, dtype=torch.long))
