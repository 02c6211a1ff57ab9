"""The default engine: PyTorch only, any device.

Shapes: R rows being sampled, V vocabulary; a row is one completion.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from echochamber.model import Transformer
from echochamber.rollout.decoder import Batch, Decoder
from echochamber.rollout.interface import Completion, Nucleus, Sampling, check_prompts
from echochamber.rollout.randomness import stream_keys, uniforms
from echochamber.rollout.sampling import Drawn, draw

POSITIONS_A_BLOCK = 128


@dataclass(frozen=True, slots=True)
class _Unit:
    """Samples `first` to `first + count` of one prompt, which share a prefill."""

    prompt: int
    first: int
    count: int


class _Record:
    """What the rows of one batch drew, step by step."""

    def __init__(self, num_rows: int) -> None:
        self.num_rows = num_rows
        self.rows: list[Tensor] = []
        self.drawn: list[Drawn] = []

    def add(self, rows: Tensor, drawn: Drawn) -> None:
        """The step's tokens; `rows` are the numbers the rows had at the start."""
        self.rows.append(rows)
        self.drawn.append(drawn)

    def completions(self, eos_id: int, limit_R: NDArray[np.int64], version: int) -> list[Completion]:
        """One completion for each starting row: everything up to its first eos or its limit."""
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
            Completion(
                token_array[r, : length[r]].copy(),
                logp_array[r, : length[r]].copy(),
                "stop" if stopped[r] else "length",
                version,
                nuclei[r],
            )
            for r in range(self.num_rows)
        ]

    def _nuclei(self, length_R: NDArray[np.int64]) -> Sequence[Nucleus | None]:
        if self.drawn[0].counts_R is None:
            return [None] * self.num_rows
        row, count, ids = [], [], []
        for rows, drawn in zip(self.rows, self.drawn, strict=True):
            assert drawn.counts_R is not None
            assert drawn.kept_ids is not None
            row.append(rows.cpu().numpy())
            count.append(drawn.counts_R.cpu().numpy())
            ids.append(drawn.kept_ids.cpu().numpy().astype(np.int32))
        row_of, counts, all_ids = np.concatenate(row), np.concatenate(count), np.concatenate(ids)
        start = np.cumsum(counts) - counts
        # Stable: within a row the steps keep their order.
        order = np.argsort(row_of, kind="stable")
        first = np.searchsorted(row_of[order], np.arange(self.num_rows))
        nuclei = []
        for r in range(self.num_rows):
            entries = order[first[r] : first[r] + length_R[r]]
            offsets = np.concatenate(([0], np.cumsum(counts[entries]))).astype(np.int32)
            kept = [all_ids[start[e] : start[e] + counts[e]] for e in entries]
            nuclei.append(Nucleus(offsets, np.concatenate(kept)))
        return nuclei


class NativeEngine:
    """Samples with a copy of a `Transformer`'s weights.

    A prompt is read once for all its samples; rows leave the batch soon after their eos; nothing loops
    over rows in Python between tokens.

    Args:
        eos_id: token that ends a completion.
        pad_id: not sampled specially; kept for engines that pad.
        max_rows: most completions in one batch; None chooses by device.
        cache_bytes: most memory for keys and values of one batch.
        compact_fraction: share of finished rows at which the batch shrinks.
    """

    def __init__(
        self,
        model: Transformer,
        *,
        eos_id: int,
        pad_id: int,
        max_rows: int | None = None,
        cache_bytes: int = 2**30,
        compact_fraction: float = 0.05,
    ) -> None:
        self.eos_id, self.pad_id = eos_id, pad_id
        self.cache_bytes, self.compact_fraction = cache_bytes, compact_fraction
        self._max_rows = max_rows
        self.load_weights(model, 0)

    def load_weights(self, model: Transformer, version: int) -> None:
        """Sample from a copy of these weights from now on."""
        self._decoder = Decoder(model)
        self._version = version
        on_cpu = self._decoder.device.type == "cpu"
        self.max_rows = self._max_rows or (512 if on_cpu else 4096)
        # Asking a GPU which rows have finished stalls it, so it is asked less often.
        self._check_every = 1 if on_cpu else 8

    @torch.inference_mode()
    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        *,
        num_samples: int,
        seed: int,
        step: int,
        prompt_ids: Sequence[int] | None = None,
    ) -> list[list[Completion]]:
        """See `Engine.generate`. Prompts of similar length are sampled together, in bounded memory."""
        names = check_prompts(prompts, prompt_ids, self._decoder.config.context_length)
        results: list[list[Completion]] = [[] for _ in prompts]
        for units in self._batches(prompts, sampling, num_samples):
            done = self._run(units, prompts, names, sampling, seed, step)
            for unit in units:
                results[unit.prompt] += [next(done) for _ in range(unit.count)]
        return results

    def _batches(
        self, prompts: Sequence[Sequence[int]], sampling: Sampling, num_samples: int
    ) -> Iterator[list[_Unit]]:
        config = self._decoder.config
        number_bytes = self._decoder.embedding.element_size()
        by_length = sorted(range(len(prompts)), key=lambda p: len(prompts[p]))
        units: list[_Unit] = []
        for prompt in by_length:
            columns = min(len(prompts[prompt]) + sampling.max_new_tokens, config.context_length)
            row_bytes = (
                2 * config.num_layers * config.d_model * columns * self._decoder.embedding.element_size()
            )
            most = max(1, min(self.max_rows, self.cache_bytes // row_bytes))
            first = 0
            while first < num_samples:
                free = most - sum(unit.count for unit in units)
                # A group is split only if it would not fit in a batch of its own.
                if units and free < min(num_samples - first, most):
                    yield units
                    units, free = [], most
                count = min(free, num_samples - first)
                units.append(_Unit(prompt, first, count))
                first += count
        if units:
            yield units

    def _run(
        self,
        units: Sequence[_Unit],
        prompts: Sequence[Sequence[int]],
        names: Sequence[int],
        sampling: Sampling,
        seed: int,
        step: int,
    ) -> Iterator[Completion]:
        """Sample one batch to its end."""
        decoder = self._decoder
        used = [prompts[unit.prompt] for unit in units]
        counts = [unit.count for unit in units]
        context = decoder.config.context_length
        limit = np.repeat([min(sampling.max_new_tokens, context - len(p)) for p in used], counts)
        longest = max(len(p) for p in used)
        # The last token sampled is never read back.
        logits_PV, batch = decoder.prefill(used, counts, longest + int(limit.max()) - 1)
        keys = stream_keys(
            seed,
            step,
            np.repeat([names[unit.prompt] for unit in units], counts),
            np.concatenate([np.arange(unit.first, unit.first + unit.count) for unit in units]),
        )
        record = _Record(len(keys))
        prompt_R = torch.repeat_interleave(torch.arange(len(units)), torch.tensor(counts))
        self._decode(logits_PV[prompt_R.to(decoder.device)], batch, keys, limit, sampling, record)
        return iter(record.completions(self.eos_id, limit, self._version))

    def _decode(
        self,
        logits_RV: Tensor,
        batch: Batch,
        keys: NDArray[np.uint64],
        limit: NDArray[np.int64],
        sampling: Sampling,
        record: _Record,
    ) -> None:
        decoder, device = self._decoder, self._decoder.device
        rows = torch.arange(len(keys), device=device)
        most, least = int(limit.max()), int(limit.min())
        limit_R = torch.from_numpy(limit).to(device)
        finished = torch.zeros(len(keys), dtype=torch.bool, device=device)
        uniform = torch.empty(0)
        for position in range(most):
            within = position % POSITIONS_A_BLOCK
            if within == 0 and not sampling.greedy:
                stop = min(position + POSITIONS_A_BLOCK, most)
                uniform = torch.from_numpy(uniforms(keys, position, stop)).to(device)
            drawn = draw(logits_RV, rows if sampling.greedy else uniform[within][rows], sampling)
            record.add(rows, drawn)
            tokens = drawn.tokens_R
            finished |= tokens == self.eos_id
            if position + 1 >= least:
                finished |= limit_R[rows] <= position + 1
            if position + 1 == most:
                return
            if position % self._check_every == 0:
                num_finished = int(finished.sum())
                if num_finished == len(rows):
                    return
                if num_finished >= max(1.0, self.compact_fraction * len(rows)):
                    order = decoder.keep(batch, ~finished)
                    rows, tokens = rows[order], tokens[order]
                    finished = torch.zeros(len(rows), dtype=torch.bool, device=device)
            logits_RV = decoder.step(tokens, batch)
