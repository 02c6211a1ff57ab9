"""Log-probabilities and entropies: against plain softmax, against finite differences, with nuclei."""

import math

import pytest
import torch
from torch import Tensor

from echochamber.rl import logprobs
from echochamber.rl.logprobs import Nuclei, logprobs_and_entropy


def _reference(
    logits: Tensor, targets: Tensor, temperature: float, nuclei: list[list[int]] | None
) -> tuple[Tensor, Tensor]:
    rows = []
    for n, row in enumerate(logits):
        ids = nuclei[n] if nuclei else list(range(logits.shape[1]))
        logp = torch.log_softmax(row[ids] / temperature, dim=0)
        rows.append((logp[ids.index(int(targets[n]))], -(logp.exp() * logp).sum()))
    return torch.stack([a for a, _ in rows]), torch.stack([b for _, b in rows])


def _case() -> tuple[Tensor, Tensor, list[list[int]]]:
    generator = torch.Generator().manual_seed(11)
    logits = 2 * torch.randn(6, 9, generator=generator, dtype=torch.float64)
    targets = torch.tensor([0, 3, 8, 2, 2, 5])
    nuclei = [[0, 1], [3], [8, 2, 4], list(range(9)), [2, 7], [5, 6]]
    return logits, targets, nuclei


def _compressed(nuclei: list[list[int]]) -> Nuclei:
    offsets = torch.tensor([0, *[len(k) for k in nuclei]]).cumsum(0)
    return Nuclei(offsets, torch.tensor([i for k in nuclei for i in k]))


def test_a_nucleus_by_hand() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0], [3.0, 0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    logp, _ = logprobs_and_entropy(
        logits, torch.tensor([1, 0]), temperature=0.5, nuclei=_compressed([[2, 1], [0]])
    )
    assert logp.tolist() == pytest.approx([-math.log(1 + math.exp(2.0)), 0.0])
    logp.sum().backward()
    share = 1 / (1 + math.exp(-2.0))
    assert logits.grad is not None
    assert logits.grad.flatten().tolist() == pytest.approx([0, 2 * share, -2 * share, 0, 0, 0], abs=1e-12)


@pytest.mark.parametrize("truncated", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_values_and_gradients_equal_plain_autograd(
    truncated: bool, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logprobs, "_CPU_CHUNK_ELEMENTS", 20)  # two rows per chunk
    logits, targets, nuclei = _case()
    ours, plain = logits.clone().requires_grad_(True), logits.clone().requires_grad_(True)
    out = logprobs_and_entropy(
        ours, targets, temperature=temperature, nuclei=_compressed(nuclei) if truncated else None
    )
    expected = _reference(plain, targets, temperature, nuclei if truncated else None)
    upstream = torch.linspace(-1, 2, 12, dtype=torch.float64).view(2, 6)
    for a, b in zip(out, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)
    (out[0] @ upstream[0] + out[1] @ upstream[1]).backward()
    (expected[0] @ upstream[0] + expected[1] @ upstream[1]).backward()
    assert ours.grad is not None and plain.grad is not None
    torch.testing.assert_close(ours.grad, plain.grad, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("output", [0, 1])
def test_gradients_match_finite_differences(output: int) -> None:
    logits, targets, nuclei = _case()
    logits.requires_grad_(True)
    torch.autograd.gradcheck(lambda x: logprobs_and_entropy(x, targets, temperature=0.8)[output], (logits,))
    compressed = _compressed(nuclei)
    torch.autograd.gradcheck(lambda x: logprobs_and_entropy(x, targets, nuclei=compressed)[output], (logits,))


def test_half_precision_is_summed_in_float32() -> None:
    logits, targets, _ = _case()
    logp, entropy = logprobs_and_entropy(logits.bfloat16(), targets)
    assert logp.dtype == entropy.dtype == torch.float32


def test_extreme_logits_stay_finite() -> None:
    logits = torch.tensor([[1e4, -1e4, 0.0]], requires_grad=True)
    logp, entropy = logprobs_and_entropy(logits, torch.tensor([1]))
    (logp + entropy).sum().backward()
    assert torch.isfinite(logp).all() and entropy.item() == 0.0
    assert logits.grad is not None and torch.isfinite(logits.grad).all()


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="do not match targets"):
        logprobs_and_entropy(torch.zeros(2, 3), torch.zeros(3, dtype=torch.long))
    with pytest.raises(ValueError, match="positive number"):
        logprobs_and_entropy(torch.zeros(2, 3), torch.zeros(2, dtype=torch.long), temperature=0.0)
