"""Log-probability and entropy of sampled tokens under the distribution they were sampled from.

Shape suffixes: N tokens of all completions in one row, V vocabulary, K entries of all nuclei.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from echochamber.train import row_chunks

# A chunk of this many logits fits in a core's second-level cache.
_CPU_CHUNK_ELEMENTS = 2**17
_GPU_CHUNK_ELEMENTS = 2**26


@dataclass(frozen=True)
class Nuclei:
    """Vocabulary entries that top-p or top-k left at each token, in compressed rows.

    Attributes:
        offsets: (N + 1) int64; the nucleus of token n is `ids[offsets[n]:offsets[n + 1]]`.
        ids: (K) int64 vocabulary entries.
    """

    offsets: Tensor
    ids: Tensor


def _chunks(logits_NV: Tensor) -> list[slice]:
    num_rows, num_columns = logits_NV.shape
    elements = _CPU_CHUNK_ELEMENTS if logits_NV.device.type == "cpu" else _GPU_CHUNK_ELEMENTS
    return row_chunks(num_rows, num_columns, elements)


def _tempered(z: Tensor, temperature: float) -> Tensor:
    return z if temperature == 1.0 else z / temperature


def _truncated(z: Tensor, rows: slice, nuclei: tuple[Tensor, Tensor]) -> Tensor:
    """The chunk's logits with everything outside the nuclei at minus infinity."""
    offsets, ids = nuclei
    bounds = offsets[rows.start : rows.stop + 1]
    counts = bounds[1:] - bounds[:-1]
    row_K = torch.repeat_interleave(torch.arange(len(counts), device=z.device), counts)
    id_K = ids[int(bounds[0]) : int(bounds[-1])]
    result = torch.full_like(z, -torch.inf)
    result[row_K, id_K] = z[row_K, id_K]
    return result


class _LogprobsAndEntropy(torch.autograd.Function):
    """Saves the logits and two numbers per token; the gradient is the only other tensor of size N x V."""

    @staticmethod
    def forward(
        ctx: Any,
        logits_NV: Tensor,
        targets_N: Tensor,
        temperature: float,
        nuclei: tuple[Tensor, Tensor] | None,
    ) -> tuple[Tensor, Tensor]:
        dtype = logits_NV.dtype if logits_NV.dtype == torch.float64 else torch.float32
        logsumexp_N = torch.empty(logits_NV.shape[0], dtype=dtype, device=logits_NV.device)
        logp_N, entropy_N = torch.empty_like(logsumexp_N), torch.empty_like(logsumexp_N)
        for rows in _chunks(logits_NV):
            z = _tempered(logits_NV[rows].to(dtype), temperature)
            if nuclei is not None:
                z = _truncated(z, rows, nuclei)
            # One exponential serves the normalizer and the entropy.
            highest = z.amax(dim=1, keepdim=True)
            weight = torch.exp(z - highest)
            total = weight.sum(dim=1)
            logsumexp_N[rows] = highest[:, 0] + total.log()
            logp_N[rows] = z.gather(1, targets_N[rows, None])[:, 0] - logsumexp_N[rows]
            if nuclei is not None:
                z = torch.where(weight > 0, z, 0.0)
            entropy_N[rows] = logsumexp_N[rows] - weight.mul_(z).sum(dim=1) / total
        ctx.save_for_backward(logits_NV, targets_N, logsumexp_N, entropy_N)
        ctx.temperature, ctx.nuclei = temperature, nuclei
        return logp_N, entropy_N

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_logp_N: Tensor, grad_entropy_N: Tensor) -> tuple[Tensor, None, None, None]:
        logits_NV, targets_N, logsumexp_N, entropy_N = ctx.saved_tensors
        grad_NV = torch.empty_like(logits_NV)
        has_entropy = bool((grad_entropy_N != 0).any())
        for rows in _chunks(logits_NV):
            z = _tempered(logits_NV[rows].to(logsumexp_N.dtype), ctx.temperature)
            if ctx.nuclei is not None:
                z = _truncated(z, rows, ctx.nuclei)
            logp = z - logsumexp_N[rows, None]
            probability = torch.exp(logp)
            coefficient = -grad_logp_N[rows, None]
            if has_entropy:
                # dH/dz = -p (log p + H); p = 0 entries contribute nothing.
                logp = torch.where(probability > 0, logp, 0.0)
                coefficient = coefficient - grad_entropy_N[rows, None] * (logp + entropy_N[rows, None])
            grad = probability.mul_(coefficient)
            grad.scatter_add_(1, targets_N[rows, None], grad_logp_N[rows, None])
            grad_NV[rows] = grad if ctx.temperature == 1.0 else grad.div_(ctx.temperature)
        return grad_NV, None, None, None


def logprobs_and_entropy(
    logits_NV: Tensor, targets_N: Tensor, *, temperature: float = 1.0, nuclei: Nuclei | None = None
) -> tuple[Tensor, Tensor]:
    """Log-probability of each target and entropy of each token's distribution, in nats.

    The distribution is the one that the token was sampled from: softmax(logits /
    temperature), renormalized over the nuclei if they are given. Both outputs are
    differentiable; half-precision logits are summed in float32.

    Returns:
        (logp_N, entropy_N).

    Raises:
        ValueError: shapes differ, or the temperature is not positive.
    """
    if logits_NV.shape[:1] != targets_N.shape:
        raise ValueError(f"logits {tuple(logits_NV.shape)} do not match targets {tuple(targets_N.shape)}")
    if not temperature > 0:
        raise ValueError(f"temperature {temperature}: expected a positive number")
    rows = None if nuclei is None else (nuclei.offsets, nuclei.ids)
    result = _LogprobsAndEntropy.apply(logits_NV, targets_N, temperature, rows)  # type: ignore[no-untyped-call]
    return cast(tuple[Tensor, Tensor], result)
