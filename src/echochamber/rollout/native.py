"""The default engine: PyTorch only, any device.

Shapes: R rows being sampled, V vocabulary; a row is one completion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from echochamber.base import InputError
from echochamber.model import Policy, Transformer
from echochamber.rollout.cache_bytes import CPU_CACHE_BYTES, GPU_CACHE_BYTES
from echochamber.rollout.decoder import Decoder
from echochamber.rollout.interface import SampledTokens, Sampling, check_prompts
from echochamber.rollout.sampling import draw
from echochamber.rollout.static import LEAST_COLUMNS, StaticSteps, bucket, rows_within
from echochamber.rollout.streams import uniforms
from echochamber.rollout.work import Draws, Unit, split_work, stream_keys_of

# Positions whose random numbers are computed at once.
POSITIONS_PER_BLOCK = 128

Append = Callable[[Tensor], Tensor]
"""Takes one token per row and returns the logits of the next, (R, V)."""
Keep = Callable[[Tensor], Tensor]
"""Takes which rows are alive, drops the others, and returns the old index of each remaining row."""


class NativeEngine:
    """Samples with a copy of a `Transformer`'s weights.

    A prompt is read once for all its samples, rows are removed soon after their eos, and no Python loop runs
    over the rows between tokens.

    Args:
        eos_id: token that ends a completion.
        pad_id: not used; other engines pad with it.
        max_rows: maximum number of completions in one batch; None chooses by device.
        cache_bytes: maximum memory for keys and values of one batch; None is 1 GiB on a CPU and 16 GiB on a
            GPU.
        compact_fraction: share of finished rows at which they are removed.
        dtype: dtype of the copy of the weights; None is bfloat16 on a GPU, where the trainer's matrix
            products are in bfloat16 too, and the model's own dtype elsewhere.
        static: take steps of fixed shapes, on a GPU as CUDA graphs; None does so only on a GPU.

    Raises:
        InputError: the model has another architecture.
    """

    def __init__(
        self,
        model: Policy,
        *,
        eos_id: int,
        pad_id: int,
        max_rows: int | None = None,
        cache_bytes: int | None = None,
        compact_fraction: float = 0.1,
        dtype: torch.dtype | None = None,
        static: bool | None = None,
    ) -> None:
        self.eos_id, self.pad_id = eos_id, pad_id
        self.compact_fraction = compact_fraction
        self._max_rows, self._cache_bytes, self._dtype, self._static = max_rows, cache_bytes, dtype, static
        self._use(self._decoder_of(_ours(model)), 0)

    def load_weights(self, model: Policy, version: int) -> None:
        """Sample from a copy of these weights from now on."""
        ours = _ours(model)
        if self._decoder.fits(ours):
            self._decoder.load(ours)
            self._version = version
        else:
            self._use(self._decoder_of(ours), version)

    def _decoder_of(self, model: Transformer) -> Decoder:
        weights = model.embedding
        halved = weights.device.type == "cuda" and weights.dtype == torch.float32
        return Decoder(model, self._dtype or (torch.bfloat16 if halved else weights.dtype))

    def _use(self, decoder: Decoder, version: int) -> None:
        self._decoder, self._version = decoder, version
        on_cpu = decoder.device.type == "cpu"
        fixed = not on_cpu if self._static is None else self._static
        self._steps = StaticSteps(decoder, capture=not on_cpu) if fixed else None
        self.cache_bytes = self._cache_bytes or (CPU_CACHE_BYTES if on_cpu else GPU_CACHE_BYTES)
        self.max_rows = self._max_rows or (512 if on_cpu else 4096)
        # Checking on a GPU which rows have finished stalls it, so it happens less often.
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
    ) -> list[list[SampledTokens]]:
        """See `Engine.generate`. Prompts of similar length are sampled together, in bounded memory."""
        prompt_ids = check_prompts(prompts, prompt_ids, sampling, self._decoder.config.context_length)
        results: list[list[SampledTokens]] = [[] for _ in prompts]
        config = self._decoder.config
        column_bytes = 2 * config.num_layers * config.d_model * self._decoder.embedding.element_size()
        columns = [min(len(p) + sampling.max_new_tokens, config.context_length) for p in prompts]
        max_rows, max_columns = self.max_rows, self.cache_bytes // column_bytes
        if self._steps is not None and columns:
            # Every batch then fits into the same memory, so that no graph has to be captured again.
            columns = [bucket(max(columns), LEAST_COLUMNS)] * len(columns)
            max_rows = min(max_rows, rows_within(max_columns // columns[0]))
        batches = split_work(columns, num_samples, max_rows=max_rows, max_columns=max_columns)
        for units in batches:
            done = self._run(units, prompts, prompt_ids, sampling, seed, step)
            for unit in units:
                results[unit.prompt] += [next(done) for _ in range(unit.count)]
        return results

    def _run(
        self,
        units: Sequence[Unit],
        prompts: Sequence[Sequence[int]],
        prompt_ids: Sequence[int],
        sampling: Sampling,
        seed: int,
        step: int,
    ) -> Iterator[SampledTokens]:
        """Sample one batch until all its rows are finished."""
        decoder = self._decoder
        used = [prompts[unit.prompt] for unit in units]
        counts = [unit.count for unit in units]
        context = decoder.config.context_length
        limit = np.repeat([min(sampling.max_new_tokens, context - len(p)) for p in used], counts)
        # The last token sampled is never read back.
        logits_PV, live = decoder.prefill(used, counts, int(limit.max()))
        append: Append = partial(decoder.step, live=live)
        keep: Keep = live.keep
        if self._steps is not None:
            self._steps.open(live, int(limit.max()))
            append, keep = self._steps.step, self._steps.keep
        prompt_R = torch.repeat_interleave(torch.arange(len(units)), torch.tensor(counts))
        logits_RV = logits_PV[prompt_R.to(decoder.device)]
        keys = stream_keys_of(units, prompt_ids, seed, step)
        draws = self._decode(logits_RV, append, keep, keys, limit, sampling)
        return iter(draws.sampled(self.eos_id, limit, self._version))

    def _decode(
        self,
        logits_RV: Tensor,
        append: Append,
        keep: Keep,
        keys: NDArray[np.uint64],
        limit: NDArray[np.int64],
        sampling: Sampling,
    ) -> Draws:
        """Draw a token for every row and append it, until all rows are finished."""
        device = self._decoder.device
        rows = torch.arange(len(keys), device=device)
        draws = Draws(len(keys))
        most, least = int(limit.max()), int(limit.min())
        limit_R = torch.from_numpy(limit).to(device)
        finished = torch.zeros(len(keys), dtype=torch.bool, device=device)
        uniform = torch.empty(0)
        for position in range(most):
            within = position % POSITIONS_PER_BLOCK
            if within == 0 and not sampling.greedy:
                stop = min(position + POSITIONS_PER_BLOCK, most)
                uniform = torch.from_numpy(uniforms(keys, position, stop)).to(device)
            drawn = draw(logits_RV, rows if sampling.greedy else uniform[within][rows], sampling)
            draws.add(rows, drawn)
            tokens = drawn.tokens_R
            finished |= tokens == self.eos_id
            if position + 1 >= least:
                finished |= limit_R[rows] <= position + 1
            if position + 1 == most:
                break
            if position % self._check_every == 0:
                num_finished = int(finished.sum())
                if num_finished == len(rows):
                    break
                size = _rows_to_keep(len(rows) - num_finished)
                if len(rows) - size >= max(1.0, self.compact_fraction * len(rows)):
                    staying = ~finished
                    staying[finished.nonzero()[: size - len(rows) + num_finished, 0]] = True
                    order = keep(staying)
                    rows, tokens, finished = rows[order], tokens[order], finished[order]
            logits_RV = append(tokens)
        return draws


def _ours(model: Policy) -> Transformer:
    if not isinstance(model, Transformer):
        raise InputError(
            "the engine 'native' runs models of the OLMo-1 architecture only; set engine: hf, or auto"
        )
    return model


def _rows_to_keep(num_rows: int) -> int:
    """How many rows to keep when this many are unfinished: one of a few sizes.

    The first matrix product of each size costs a millisecond of preparation. Tokens that finished rows still
    draw are dropped.
    """
    step = 8 if num_rows > 8 else 4 if num_rows > 4 else 1
    return -(-num_rows // step) * step
