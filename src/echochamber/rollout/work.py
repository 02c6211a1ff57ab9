"""Splits work into batches, and collects what the rows of a batch drew.

Shapes: R rows (completions) of one batch at its start.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from echochamber.rollout.interface import Nucleus, SampledTokens
from echochamber.rollout.sampling import Drawn
from echochamber.rollout.streams import stream_keys


@dataclass(frozen=True, slots=True)
class Unit:
    """Samples `first` to `first + count` of one prompt, which share a prefill."""

    prompt: int
    first: int
    count: int


def split_work(
    columns_P: Sequence[int], num_samples: int, *, max_rows: int, max_columns: int
) -> Iterator[list[Unit]]:
    """Batches of units that cover `num_samples` samples of every prompt, prompts of similar length together.

    Args:
        columns_P: the largest number of tokens that a row of each prompt can grow to.
        max_rows: the largest number of rows in a batch.
        max_columns: the largest rows x longest row in a batch, where a single row is always allowed.
    """
    units: list[Unit] = []
    for prompt in sorted(range(len(columns_P)), key=lambda p: columns_P[p]):
        most = max(1, min(max_rows, max_columns // columns_P[prompt]))
        first = 0
        while first < num_samples:
            free = most - sum(unit.count for unit in units)
            # The samples of a prompt are split only if they do not fit in one batch.
            if units and free < min(num_samples - first, most):
                yield units
                units, free = [], most
            count = min(free, num_samples - first)
            units.append(Unit(prompt, first, count))
            first += count
    if units:
        yield units


def stream_keys_of(
    units: Sequence[Unit], prompt_ids: Sequence[int], seed: int, step: int
) -> NDArray[np.uint64]:
    """The random stream of each row of a batch."""
    prompt_R = np.repeat([prompt_ids[unit.prompt] for unit in units], [unit.count for unit in units])
    sample_R = np.concatenate([np.arange(unit.first, unit.first + unit.count) for unit in units])
    return stream_keys(seed, step, prompt_R, sample_R)


class Draws:
    """What the rows of one batch drew, step by step."""

    def __init__(self, num_rows: int) -> None:
        self.num_rows = num_rows
        self.rows: list[Tensor] = []
        self.drawn: list[Drawn] = []

    def add(self, rows: Tensor, drawn: Drawn) -> None:
        """Add the tokens of a step; `rows` are the numbers that its rows had at the start."""
        self.rows.append(rows)
        self.drawn.append(drawn)

    def sampled(self, eos_id: int, limit_R: NDArray[np.int64], version: int) -> list[SampledTokens]:
        """Everything that each starting row drew up to its first eos or its limit."""
        steps = len(self.rows)
        tokens = torch.full((steps, self.num_rows), eos_id, dtype=torch.int32)
        logps = torch.zeros((steps, self.num_rows), dtype=torch.float32)
        for step, (rows, drawn) in enumerate(zip(self.rows, self.drawn, strict=True)):
            tokens[step, rows.cpu()] = drawn.tokens_R.cpu().to(torch.int32)
            logps[step, rows.cpu()] = drawn.logp_R.cpu()
        token_array = tokens.numpy().T.copy()
        logp_array = logps.numpy().T.copy()
        ended = token_array == eos_id
        stopped = ended.any(axis=1)
        length = np.where(stopped, ended.argmax(axis=1) + 1, steps)
        stopped &= length <= limit_R
        length = np.minimum(length, limit_R)
        nuclei = self._nuclei(length)
        return [
            SampledTokens(
                token_array[r, : length[r]].copy(),
                logp_array[r, : length[r]].copy(),
                "stop" if stopped[r] else "length",
                version,
                nuclei[r],
            )
            for r in range(self.num_rows)
        ]

    def _nuclei(self, length_R: NDArray[np.int64]) -> Sequence[Nucleus | None]:
        if self.drawn[0].nucleus_size_R is None:
            return [None] * self.num_rows
        row, count, ids = [], [], []
        for rows, drawn in zip(self.rows, self.drawn, strict=True):
            assert drawn.nucleus_size_R is not None
            assert drawn.nucleus_ids is not None
            row.append(rows.cpu().numpy())
            count.append(drawn.nucleus_size_R.cpu().numpy())
            ids.append(drawn.nucleus_ids.cpu().numpy().astype(np.int32))
        row_of, counts, all_ids = np.concatenate(row), np.concatenate(count), np.concatenate(ids)
        start = np.cumsum(counts) - counts
        # Stable: within a row the steps keep their order.
        order = np.argsort(row_of, kind="stable")
        first = np.searchsorted(row_of[order], np.arange(self.num_rows))
        nuclei = []
        for r in range(self.num_rows):
            entries = order[first[r] : first[r] + length_R[r]]
            offsets = np.concatenate(([0], np.cumsum(counts[entries]))).astype(np.int32)
            ids_of = [all_ids[start[e] : start[e] + counts[e]] for e in entries]
            nuclei.append(Nucleus(offsets, np.concatenate(ids_of)))
        return nuclei
