"""Sampling through `transformers.generate`: slower, but with any causal language model of that library.

The library's own sampler uses global randomness; here a logits processor draws with the counter-based
numbers of the contract and leaves only the chosen token possible, so that the library's greedy search
takes it.

Shapes: R rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from echochamber.model import Policy, require_transformers
from echochamber.rollout.interface import SampledTokens, Sampling, check_prompts
from echochamber.rollout.sampling import draw
from echochamber.rollout.streams import uniforms
from echochamber.rollout.work import Draws, Unit, split_work, stream_keys_of


class _Chooser:
    """A logits processor: draws a token for each row and makes every other one impossible."""

    def __init__(self, keys: NDArray[np.uint64], sampling: Sampling) -> None:
        self.keys, self.sampling = keys, sampling
        self.draws = Draws(len(keys))
        self.position = 0

    def __call__(self, input_ids: Tensor, scores_RV: Tensor) -> Tensor:
        uniform_R = torch.from_numpy(uniforms(self.keys, self.position, self.position + 1)[0])
        drawn = draw(scores_RV.clone(), uniform_R.to(scores_RV.device), self.sampling)
        self.draws.add(torch.arange(len(self.keys)), drawn)
        self.position += 1
        chosen_RV = torch.full_like(scores_RV, -torch.inf)
        return chosen_RV.scatter_(1, drawn.tokens_R[:, None], 0.0)


class HFEngine:
    """Samples with `transformers.generate`, prompts padded on the left.

    Args:
        model: ours, which becomes an `OlmoForCausalLM`, or any other model of transformers.
        eos_id: token that ends a completion.
        pad_id: fills the left of shorter prompts.
        max_rows: maximum number of completions in one batch.

    Raises:
        InputError: transformers is not installed.
    """

    def __init__(self, model: Policy, *, eos_id: int, pad_id: int, max_rows: int = 256) -> None:
        self.eos_id, self.pad_id, self.max_rows = eos_id, pad_id, max_rows
        self._model: Any = None
        self.load_weights(model, 0)

    def load_weights(self, model: Policy, version: int) -> None:
        """Sample from a copy of these weights from now on."""
        if self._model is None:
            self._model = model.to_transformers(eos_id=self.eos_id, pad_id=self.pad_id)
        else:
            # A tied output matrix may be left out.
            found = self._model.load_state_dict(model.transformers_state(), strict=False)
            assert not found.unexpected_keys
        self._context = model.config.context_length
        self._version = version

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
        """See `Engine.generate`."""
        context = self._context
        prompt_ids = check_prompts(prompts, prompt_ids, sampling, context)
        results: list[list[SampledTokens]] = [[] for _ in prompts]
        columns = [min(len(p) + sampling.max_new_tokens, context) for p in prompts]
        for units in split_work(
            columns, num_samples, max_rows=self.max_rows, max_columns=self.max_rows * context
        ):
            limit = np.array([columns[u.prompt] - len(prompts[u.prompt]) for u in units])
            limit_R = np.repeat(limit, [unit.count for unit in units])
            chooser = _Chooser(stream_keys_of(units, prompt_ids, seed, step), sampling)
            self._run(units, prompts, int(limit.max()), chooser)
            done = iter(chooser.draws.sampled(self.eos_id, limit_R, self._version))
            for unit in units:
                results[unit.prompt] += [next(done) for _ in range(unit.count)]
        return results

    def _run(
        self, units: Sequence[Unit], prompts: Sequence[Sequence[int]], limit: int, chooser: _Chooser
    ) -> None:
        rows = [prompts[unit.prompt] for unit in units for _ in range(unit.count)]
        longest = max(len(row) for row in rows)
        tokens_RT = torch.full((len(rows), longest), self.pad_id)
        mask_RT = torch.zeros((len(rows), longest), dtype=torch.int64)
        for r, row in enumerate(rows):
            tokens_RT[r, longest - len(row) :] = torch.tensor(list(row))
            mask_RT[r, longest - len(row) :] = 1
        device = self._model.device
        self._model.generate(
            tokens_RT.to(device),
            attention_mask=mask_RT.to(device),
            logits_processor=require_transformers().LogitsProcessorList([chooser]),
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            max_new_tokens=limit,
            eos_token_id=self.eos_id,
            pad_token_id=self.pad_id,
        )
