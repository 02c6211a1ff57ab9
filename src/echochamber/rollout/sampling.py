"""From logits to tokens: one pass over the rows, one uniform number per row.

The numbers are a function of what they are for, without generator state or an order of drawing. The hash is
the finalizer of splitmix64 (Steele, Lea and Flood 2014, doi:10.1145/2660193.2660195).

Shapes: R rows, V vocabulary, K most candidates of any row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from echochamber.rollout.interface import Sampling

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
# Multiples of 2^-23: below 1 by at least a rounding step, so that u x total < total in float32.
UNIFORM_BITS = 23


@dataclass(frozen=True, slots=True)
class Drawn:
    """One token per row.

    Attributes:
        tokens_R: int64.
        logp_R: float32, under the distribution it was drawn from.
        nucleus_size_R: number of tokens that could have been drawn, if the distribution was truncated.
        nucleus_ids: their ids, row by row.
    """

    tokens_R: Tensor
    logp_R: Tensor
    nucleus_size_R: Tensor | None = None
    nucleus_ids: Tensor | None = None


def draw(logits_RV: Tensor, uniform_R: Tensor, sampling: Sampling) -> Drawn:
    """The token whose interval of the cumulative distribution holds the row's uniform number.

    The logits may be overwritten.
    """
    logits_RV = logits_RV.float()
    if sampling.greedy:
        tokens_R = logits_RV.argmax(-1)
        at_token_R = logits_RV.gather(1, tokens_R[:, None])[:, 0]
        return Drawn(tokens_R, at_token_R - logits_RV.logsumexp(-1))
    if sampling.temperature != 1.0:
        logits_RV = logits_RV.mul_(1.0 / sampling.temperature)
    p_RV = logits_RV.softmax(-1)
    if not sampling.has_nucleus:
        tokens_R1 = _invert(p_RV, uniform_R)
        return Drawn(tokens_R1[:, 0], p_RV.gather(1, tokens_R1)[:, 0].log_())
    p_RK, ids_RK = truncate(p_RV, sampling.top_k, sampling.top_p)
    index_R1 = _invert(p_RK, uniform_R)
    logp_R = (p_RK.gather(1, index_R1)[:, 0] / p_RK.sum(-1)).log_()
    nucleus_RK = p_RK > 0
    return Drawn(ids_RK.gather(1, index_R1)[:, 0], logp_R, nucleus_RK.sum(-1), ids_RK[nucleus_RK])


def _invert(p_RV: Tensor, uniform_R: Tensor) -> Tensor:
    """First index whose cumulative sum exceeds uniform x total, (R, 1).

    Its probability is above 0, since the cumulative sum rises there; see `UNIFORM_BITS`.
    """
    cumulative_RV = p_RV.cumsum(-1)
    target_R1 = uniform_R[:, None] * cumulative_RV[:, -1:]
    return torch.searchsorted(cumulative_RV, target_R1, right=True)


def truncate(p_RV: Tensor, top_k: int, top_p: float) -> tuple[Tensor, Tensor]:
    """Probabilities after top-k, then top-p, most likely first, and their ids, both (R, K).

    Tokens outside the nucleus have probability 0. Equal probabilities are ranked by id.

    Only plausible tokens are sorted: those below (1 - top_p) / V hold less than 1 - top_p together, so
    none of them is in the nucleus. Sorting all of V would cost more than the model.
    """
    vocabulary = p_RV.shape[1]
    if 0 < top_k < vocabulary:
        threshold_R1 = p_RV.topk(top_k, dim=-1).values[:, -1:]
    else:
        threshold_R1 = p_RV.new_full((1, 1), 0.5 * (1.0 - top_p) / vocabulary)
    candidate_RV = (p_RV >= threshold_R1) & (p_RV > 0)
    count_R = candidate_RV.sum(-1)
    width = int(count_R.max())
    rows, ids = candidate_RV.nonzero(as_tuple=True)
    start_R = count_R.cumsum(0) - count_R
    slot = torch.arange(len(rows), device=rows.device) - start_R[rows]
    p_RK = p_RV.new_zeros(len(p_RV), width)
    ids_RK = ids.new_zeros(len(p_RV), width)
    p_RK[rows, slot] = p_RV[rows, ids]
    ids_RK[rows, slot] = ids
    p_RK, order_RK = p_RK.sort(dim=-1, descending=True, stable=True)
    ids_RK = ids_RK.gather(1, order_RK)
    if 0 < top_k < width:
        p_RK, ids_RK = p_RK[:, :top_k], ids_RK[:, :top_k]
    if top_p < 1.0:
        total_R1 = p_RK.sum(-1, keepdim=True) if 0 < top_k < vocabulary else 1.0
        before_RK = p_RK.cumsum(-1) - p_RK
        # The most likely token stays even if rounding put mass before it.
        before_RK[:, 0] = 0.0
        p_RK = torch.where(before_RK < top_p * total_R1, p_RK, 0.0)
    return p_RK, ids_RK


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def stream_keys(
    seed: int, step: int, prompt_ids: NDArray[np.int64], samples: NDArray[np.int64]
) -> NDArray[np.uint64]:
    """One key for each (prompt id, sample) pair, of the same shape as the two arrays."""
    key = np.zeros(np.shape(prompt_ids), dtype=np.uint64)
    for part in (seed, step, prompt_ids, samples):
        word = np.asarray(part, dtype=np.int64).astype(np.uint64)
        # Mixing between the words makes (1, 2) and (2, 1) unrelated.
        key = _mix(key + _GAMMA) ^ word
        key = _mix(key + _GAMMA)
    return key


def uniforms(keys: NDArray[np.uint64], start: int, stop: int) -> NDArray[np.float32]:
    """Numbers in [0, 1) for positions `start` to `stop` of each stream, (positions, streams)."""
    position = np.arange(start, stop, dtype=np.uint64)[:, None]
    bits = _mix(keys[None, :] + (position + np.uint64(1)) * _GAMMA)
    return (bits >> np.uint64(64 - UNIFORM_BITS)).astype(np.float32) * np.float32(2.0**-UNIFORM_BITS)
