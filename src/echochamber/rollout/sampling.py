"""From logits to tokens: one pass over the rows, one uniform number per row (streams.py makes them).

Shapes: R rows, V vocabulary, K the most candidates of any row.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from echochamber.rollout.interface import Sampling


@dataclass(frozen=True, slots=True)
class Drawn:
    """One token per row.

    Attributes:
        tokens_R: int64.
        logp_R: float32, under the distribution it was drawn from.
        nucleus_size_R: size of the nucleus, if the distribution was truncated.
        nucleus_ids: token ids of the nuclei, row by row.
    """

    tokens_R: Tensor
    logp_R: Tensor
    nucleus_size_R: Tensor | None = None
    nucleus_ids: Tensor | None = None


def draw(logits_RV: Tensor, uniform_R: Tensor, sampling: Sampling) -> Drawn:
    """The token whose interval of the cumulative distribution contains the row's uniform number.

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

    Its probability is above 0, since the cumulative sum rises there; see `streams.UNIFORM_BITS`.
    """
    cumulative_RV = p_RV.cumsum(-1)
    target_R1 = uniform_R[:, None] * cumulative_RV[:, -1:]
    return torch.searchsorted(cumulative_RV, target_R1, right=True)


def truncate(p_RV: Tensor, top_k: int, top_p: float) -> tuple[Tensor, Tensor]:
    """Probabilities after top-k, then top-p, most likely first, and their token ids, both (R, K).

    Tokens outside the nucleus have probability 0. Equal probabilities are ranked by id.

    Only plausible tokens are sorted: those below (1 - top_p) / V together hold less than 1 - top_p, so none
    of them is in the nucleus. Sorting all of V would cost more than the model.
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
