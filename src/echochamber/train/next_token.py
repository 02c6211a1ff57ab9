"""The loss that pretraining minimizes, and its measurement on documents that no batch contains.

Shapes: B sequences, T tokens, D width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

from echochamber.model import Transformer
from echochamber.train.losses import LossSum, linear_cross_entropy

TokenRows = tuple[Tensor, Tensor | None, Tensor | None]
"""Tokens (B, T + 1), the weight of each predicted token (None for all ones), and who may look at whom
(None for plain causal attention)."""


def next_token_loss(
    model: Transformer, tokens_BT: Tensor, weight_BT: Tensor | None = None, mask: Tensor | None = None
) -> LossSum:
    """Summed negative log-likelihood of each token after the first of its row, in nats.

    `weight_BT` has a weight for each predicted token, so one column fewer than `tokens_BT`; `mask` is as in
    `Transformer.hidden`, over the tokens that are read.
    """
    hidden_BTD = model.hidden(tokens_BT[:, :-1], mask=mask)
    return linear_cross_entropy(hidden_BTD, model.head_weight, tokens_BT[:, 1:], weight_BT)


def document_mask(tokens_BT: Tensor, eos_id: int) -> Tensor:
    """The attention mask for documents that end at `eos_id`: (B, 1, T, T), True within a document."""
    ends_BT = tokens_BT == eos_id
    document_BT = ends_BT.cumsum(dim=1) - ends_BT.long()
    same_BTT = document_BT[:, :, None] == document_BT[:, None, :]
    return same_BTT.tril()[:, None]


@torch.no_grad()
def heldout_loss(
    loss: Callable[[TokenRows], LossSum],
    documents: Iterable[np.ndarray],
    device: torch.device,
    *,
    sequence_length: int,
    batch_size: int,
) -> float:
    """Mean negative log-likelihood per token in nats, every document read from its beginning.

    Documents are cut after `sequence_length` predicted tokens; NaN if there is nothing to predict.

    Args:
        loss: `next_token_loss` of a model on `device`.
    """
    ordered = sorted((d[: sequence_length + 1] for d in documents if len(d) > 1), key=len)
    total, count = 0.0, 0
    for start in range(0, len(ordered), batch_size):
        rows = ordered[start : start + batch_size]
        tokens = torch.zeros(len(rows), len(rows[-1]), dtype=torch.long)
        weights = torch.zeros(len(rows), len(rows[-1]) - 1)
        for i, row in enumerate(rows):
            tokens[i, : len(row)] = torch.from_numpy(np.asarray(row, dtype=np.int64))
            weights[i, : len(row) - 1] = 1.0
            count += len(row) - 1
        total += loss((tokens.to(device), weights.to(device), None)).total.item()
    return total / count if count else math.nan
