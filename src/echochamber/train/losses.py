"""Losses and log-probabilities as sums over tokens, without a second logits-sized copy.

Shapes: B sequences, T tokens, V vocabulary, N = B x T tokens in one row, D width.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Logits processed at once: few enough to stay in cache, enough to keep the cores busy in one product.
CPU_CHUNK_ELEMENTS = 2**20
GPU_CHUNK_ELEMENTS = 2**26


@dataclass(frozen=True)
class LossSum:
    """What a loss function returns for one microbatch: sums, so that splitting a batch changes nothing.

    Attributes:
        total: 0-d, differentiable: the sum of weighted per-token terms. The caller, who knows the global
            normalizer, divides.
        metrics: named 0-d sums without gradient (token counts, clipped tokens, ...); they add up over
            microbatches.
    """

    total: Tensor
    metrics: dict[str, Tensor] = field(default_factory=dict)


def _accumulation_dtype(dtype: torch.dtype) -> torch.dtype:
    return dtype if dtype in (torch.float32, torch.float64) else torch.float32


def row_chunks(num_rows: int, num_columns: int, elements: int) -> list[slice]:
    """The rows of a matrix in pieces of about `elements` numbers and at least one row."""
    size = max(1, elements // num_columns)
    return [slice(start, min(start + size, num_rows)) for start in range(0, num_rows, size)]


def _chunks(num_rows: int, num_columns: int, device: torch.device) -> list[slice]:
    return row_chunks(
        num_rows, num_columns, CPU_CHUNK_ELEMENTS if device.type == "cpu" else GPU_CHUNK_ELEMENTS
    )


@torch.no_grad()
def token_logprobs(logits_BTV: Tensor, targets_BT: Tensor) -> Tensor:
    """Log-probability of each target token in nats, log softmax(logits)[target], without gradient.

    It works in chunks of rows: besides the logits, nothing of size B x T x V is held. Half-precision logits
    are summed in float32, which is then the dtype of the result. Training uses `linear_cross_entropy`, and
    `rl` has its own kernel for sampled tokens.

    Returns:
        logp_BT.

    Raises:
        ValueError: shapes differ.
    """
    if logits_BTV.shape[:-1] != targets_BT.shape:
        raise ValueError(f"logits {tuple(logits_BTV.shape)} do not match targets {tuple(targets_BT.shape)}")
    logits_NV, targets_N = logits_BTV.reshape(-1, logits_BTV.shape[-1]), targets_BT.reshape(-1)
    dtype = _accumulation_dtype(logits_NV.dtype)
    logp_N = torch.empty(len(logits_NV), dtype=dtype, device=logits_NV.device)
    for rows in _chunks(len(logits_NV), logits_NV.shape[1], logits_NV.device):
        logp = torch.log_softmax(logits_NV[rows].to(dtype), dim=1)
        logp_N[rows] = logp.gather(1, targets_N[rows, None])[:, 0]
    return logp_N.view(targets_BT.shape)


class _LinearCrossEntropy(torch.autograd.Function):
    """Cross-entropy of `hidden @ weight.T`, with both gradients computed while a chunk is in cache."""

    @staticmethod
    def forward(
        ctx: Any, hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor, weight_N: Tensor | None
    ) -> Tensor:
        needs_grad = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        num_rows, num_columns = hidden_ND.shape[0], weight_VD.shape[0]
        dtype = _accumulation_dtype(hidden_ND.dtype)
        total = torch.zeros((), dtype=dtype, device=hidden_ND.device)
        grad_hidden_ND = torch.empty_like(hidden_ND) if needs_grad else None
        grad_weight_VD = torch.zeros_like(weight_VD, dtype=dtype) if needs_grad else None
        for rows in _chunks(num_rows, num_columns, hidden_ND.device):
            hidden = hidden_ND[rows]
            z = (hidden @ weight_VD.T).to(dtype)
            grad = torch.softmax(z, dim=1)
            # log sum exp(z) from the largest logit and its probability: half the exponentials of log_softmax.
            logsumexp = z.amax(1) - grad.amax(1).log()
            nll = logsumexp - z.gather(1, targets_N[rows, None])[:, 0]
            if weight_N is not None:
                nll = torch.where(weight_N[rows] != 0, nll, 0.0) * weight_N[rows]
            total += nll.sum()
            if grad_hidden_ND is None or grad_weight_VD is None:
                continue
            grad.scatter_add_(1, targets_N[rows, None], grad.new_full((len(nll), 1), -1.0))
            if weight_N is not None:
                grad = torch.where(weight_N[rows, None] != 0, grad, 0.0).mul_(weight_N[rows, None])
            grad = grad.to(hidden.dtype)
            torch.mm(grad, weight_VD, out=grad_hidden_ND[rows])
            if hidden.dtype == dtype:
                grad_weight_VD.addmm_(grad.T, hidden)
            else:
                grad_weight_VD += (grad.T @ hidden).to(dtype)
        if grad_hidden_ND is not None and grad_weight_VD is not None:
            ctx.save_for_backward(grad_hidden_ND, grad_weight_VD.to(weight_VD.dtype))
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        grad_hidden_ND, grad_weight_VD = ctx.saved_tensors
        return grad_hidden_ND * grad, grad_weight_VD * grad, None, None


def linear_cross_entropy(
    hidden_BTD: Tensor, weight_VD: Tensor, targets_BT: Tensor, weight_BT: Tensor | None = None
) -> LossSum:
    """Sum over tokens of weight x negative log-likelihood in nats, without ever storing all logits.

    The logits are `hidden @ weight.T`; `weight_BT` None means 1 for every token, and a token of weight 0
    contributes nothing. Metrics: `tokens`, the sum of the weights.

    The two gradients are computed chunk by chunk in the forward pass (the idea of Liger-Kernel's fused
    linear cross-entropy, arXiv:2410.10989), so the three matrix products are the ones a plain loss
    needs and nothing of size B x T x V exists. The per-token weights are constants.

    Raises:
        ValueError: shapes differ.
    """
    if hidden_BTD.shape[:-1] != targets_BT.shape or hidden_BTD.shape[-1] != weight_VD.shape[-1]:
        raise ValueError(
            f"hidden {tuple(hidden_BTD.shape)} and weight {tuple(weight_VD.shape)} do not match "
            f"targets {tuple(targets_BT.shape)}"
        )
    device = hidden_BTD.device.type
    hidden_ND = hidden_BTD.reshape(-1, hidden_BTD.shape[-1])
    weight_N = None if weight_BT is None else weight_BT.reshape(-1)
    if torch.is_autocast_enabled(device):
        # Inside a Function, autocast would cast at every call; cast once here, with a gradient.
        dtype = torch.get_autocast_dtype(device)
        hidden_ND, weight_VD = hidden_ND.to(dtype), weight_VD.to(dtype)
    with torch.autocast(device, enabled=False):
        total = _linear_cross_entropy(hidden_ND, weight_VD, targets_BT.reshape(-1), weight_N)
    count = total.new_tensor(float(targets_BT.numel())) if weight_BT is None else weight_BT.sum().detach()
    return LossSum(total, {"tokens": count})


def _linear_cross_entropy(*arguments: Tensor | None) -> Tensor:
    return cast(Tensor, _LinearCrossEntropy.apply(*arguments))  # type: ignore[no-untyped-call]
