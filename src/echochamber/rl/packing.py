"""Ragged completions packed into microbatches.

A row holds one prompt followed by several of its completions. Each completion
attends to the prompt and itself; its positions continue from the prompt's end. A
prompt shared by G samples thus goes through the model once instead of G times, and
rows of similar length share a microbatch. How completions are packed changes only
rounding.

Shape suffixes: R rows, S tokens of a row, N response tokens of a microbatch,
B completions of the rollout, b completions of the microbatch, T response tokens, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from echochamber import rl
from echochamber.base.lazy import torch
from echochamber.rl.microbatches import Microbatch

if TYPE_CHECKING:
    from echochamber.rl.logprobs import Nuclei
    from echochamber.rollout import Nucleus


@dataclass(frozen=True)
class Sample:
    """One completion as the trainer sees it.

    Attributes:
        prompt: index into the prompts of the rollout.
        token_ids: sampled tokens, including the end-of-text token if it was sampled.
        nucleus: the vocabulary entries that top-p or top-k left at each token, or None.
    """

    prompt: int
    token_ids: npt.NDArray[np.int64]
    nucleus: Nucleus | None = None


@dataclass
class _Row:
    prompt: int
    samples: list[int]
    num_tokens: int


def pays_off(prompt_tokens: int, row_tokens: int, extra_tokens: int, width: int) -> bool:
    """Whether a completion costs less in a row of its group than in a row of its own.

    In its own row it repeats the prompt: P tokens through 16 D^2 weights per layer, and attention over
    (P + L)^2 pairs. In a row of S tokens, attention grows from S^2 to (S + L)^2 pairs, all of them computed,
    at 2 D each. Its own row is more expensive while L (S - P) < P (4 D + P / 2).
    """
    limit = prompt_tokens * (4 * width + prompt_tokens / 2)
    return extra_tokens * (row_tokens - prompt_tokens) < limit


def _rows(
    prompts: Sequence[Sequence[int]],
    samples: Sequence[Sample],
    chosen: Sequence[int],
    budget_tokens: int,
    width: int,
) -> list[_Row]:
    """Place completions in rows: those of one prompt together as long as that pays off."""
    by_prompt: dict[int, list[int]] = {}
    for index in chosen:
        by_prompt.setdefault(samples[index].prompt, []).append(index)
    rows: list[_Row] = []
    for prompt, members in by_prompt.items():
        row: _Row | None = None
        for index in sorted(members, key=lambda i: (len(samples[i].token_ids), i)):
            extra = len(samples[index].token_ids) - 1
            length = len(prompts[prompt])
            if (
                row is None
                or row.num_tokens + extra > budget_tokens
                or not pays_off(length, row.num_tokens, extra, width)
            ):
                row = _Row(prompt, [], length)
                rows.append(row)
            row.samples.append(index)
            row.num_tokens += extra
    return rows


def plan_microbatches(
    prompts: Sequence[Sequence[int]],
    samples: Sequence[Sample],
    chosen: Sequence[int],
    *,
    budget_tokens: int,
    device: torch.device,
    width: int,
) -> list[Microbatch]:
    """Split the chosen completions into microbatches of at most `budget_tokens` inputs, padding included.

    Rows are sorted by length, so that there is little padding; a row longer than the budget gets its own
    microbatch. Deterministic: the same arguments give the same split.

    Args:
        chosen: indices of completions that have at least one token.
        width: D of the model, which decides how much packing pays off.
    """
    rows = sorted(_rows(prompts, samples, chosen, budget_tokens, width), key=lambda row: row.num_tokens)
    groups: list[list[_Row]] = []
    for row in rows:
        if not groups or (len(groups[-1]) + 1) * row.num_tokens > budget_tokens:
            groups.append([])
        groups[-1].append(row)
    return [_fill(prompts, samples, group, device) for group in groups]


def _fill(
    prompts: Sequence[Sequence[int]], samples: Sequence[Sample], rows: Sequence[_Row], device: torch.device
) -> Microbatch:
    width = max(row.num_tokens for row in rows)
    order = [index for row in rows for index in row.samples]
    longest = max(len(samples[index].token_ids) for index in order)
    token = np.zeros((len(rows), width), dtype=np.int64)
    position = np.zeros_like(token)
    segment = np.full_like(token, -1)
    mask = np.zeros((len(order), longest), dtype=bool)
    source: list[npt.NDArray[np.int64]] = []
    place = 0
    for r, row in enumerate(rows):
        start = len(prompts[row.prompt])
        token[r, :start] = prompts[row.prompt]
        position[r, :start] = np.arange(start)
        segment[r, :start] = 0
        end = start
        for number, index in enumerate(row.samples, start=1):
            ids = samples[index].token_ids
            fed = len(ids) - 1  # the last token is predicted, never read
            token[r, end : end + fed] = ids[:-1]
            position[r, end : end + fed] = np.arange(start, start + fed)
            segment[r, end : end + fed] = number
            first = r * width
            source.append(np.concatenate([[first + start - 1], np.arange(first + end, first + end + fed)]))
            mask[place, : len(ids)] = True
            end += fed
            place += 1
    packed = any(len(row.samples) > 1 for row in rows)
    allowed = np.tril((segment[:, :, None] == segment[:, None, :]) | (segment[:, None, :] == 0))
    return Microbatch(
        sample_b=torch.tensor(order, device=device),
        mask_bT=torch.from_numpy(mask).to(device),
        token_RS=torch.from_numpy(token).to(device),
        position_RS=torch.from_numpy(position).to(device) if packed else None,
        allowed_R1SS=torch.from_numpy(allowed[:, None]).to(device) if packed else None,
        source_N=torch.from_numpy(np.concatenate(source)).to(device),
        target_N=torch.from_numpy(np.concatenate([samples[i].token_ids for i in order])).to(device),
        slot_N=torch.from_numpy(np.flatnonzero(mask)).to(device),
        nuclei=_nuclei([samples[index] for index in order], device),
    )


def _nuclei(samples: Sequence[Sample], device: torch.device) -> Nuclei | None:
    counts, ids = [], []
    for sample in samples:
        if sample.nucleus is None:
            return None
        counts.append(np.diff(sample.nucleus.offsets))
        ids.append(sample.nucleus.ids)
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int64)
    return rl.Nuclei(
        offsets=torch.from_numpy(offsets).to(device),
        ids=torch.from_numpy(np.concatenate(ids).astype(np.int64)).to(device),
    )
