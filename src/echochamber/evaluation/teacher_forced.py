"""How much probability a model gives each format before anything is sampled.

Sampled shares say what a model writes; teacher forcing says how likely it was
to write each format, even one that is too rare to appear in a sample.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from echochamber.corpora import Tokenizer
    from echochamber.model import Policy

MAX_OPENING_TOKENS = 8


@dataclass(frozen=True, slots=True)
class FormatProbability:
    """The probability that a model gives one format, averaged over reference problems.

    Attributes:
        format: its name.
        opening: text that all references of the format begin with, at most MAX_OPENING_TOKENS tokens; empty
            where they share none, as prose does.
        opening_mass: mean probability of that opening after the question; None without one. A model may
            spell the same text in other tokens, so this is a lower bound.
        reference_logprob: mean log-likelihood of a whole reference solution with its end, in nats.
        reference_logprob_per_token: the same per token.
        reference_share: the format's share of the total likelihood of a problem's references in all formats,
            averaged over problems; sums to 1 over formats.
        num_problems: problems averaged over.
    """

    format: str
    opening: str
    opening_mass: float | None
    reference_logprob: float
    reference_logprob_per_token: float
    reference_share: float
    num_problems: int

    def row(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def format_probabilities(
    model: Policy,
    tokenizer: Tokenizer,
    questions: Sequence[str],
    references: Mapping[str, Sequence[str]],
    *,
    batch_size: int = 64,
) -> list[FormatProbability]:
    """Teacher-force reference solutions in every format and average over problems.

    Args:
        questions: the problems.
        references: for each format, one correct solution per question, as the format renders it.
        batch_size: sequences per forward pass.

    Raises:
        ValueError: no questions, no formats, or a format without a solution to every question.
    """
    if not questions or not references or any(len(r) != len(questions) for r in references.values()):
        raise ValueError("need questions and, for each format, one reference solution to each of them")
    prompts = tokenizer.encode_prompts(list(questions))
    logprobs: dict[str, list[list[float]]] = {}
    openings: dict[str, list[int]] = {}
    for name, solutions in references.items():
        encoded = [[*tokenizer.encode_solution(text), tokenizer.eos_id] for text in solutions]
        openings[name] = _common_prefix(encoded)[:MAX_OPENING_TOKENS]
        pairs = list(zip(prompts, encoded, strict=True))
        logprobs[name] = [
            row
            for start in range(0, len(pairs), batch_size)
            for row in solution_logprobs(model, pairs[start : start + batch_size], pad_id=tokenizer.pad_id)
        ]
    total_FP = np.array([[math.fsum(row) for row in logprobs[name]] for name in references])
    share_FP = np.exp(total_FP - total_FP.max(axis=0))
    share_FP /= share_FP.sum(axis=0)
    found = []
    for i, name in enumerate(references):
        length = len(openings[name])
        masses = [math.exp(math.fsum(row[:length])) for row in logprobs[name]]
        found.append(
            FormatProbability(
                format=name,
                opening=tokenizer.decode(openings[name]),
                opening_mass=float(np.mean(masses)) if length else None,
                reference_logprob=float(total_FP[i].mean()),
                reference_logprob_per_token=float(total_FP[i].sum() / sum(map(len, logprobs[name]))),
                reference_share=float(share_FP[i].mean()),
                num_problems=len(questions),
            )
        )
    return found


def solution_logprobs(
    model: Policy, pairs: Sequence[tuple[Sequence[int], Sequence[int]]], *, pad_id: int
) -> Iterator[list[float]]:
    """Log-probability in nats of each solution token given its prompt and the tokens before it.

    Sequences are padded on the right; causal attention keeps the padding from being seen.
    """
    import torch

    from echochamber.train import token_logprobs

    length = max(len(prompt) + len(solution) for prompt, solution in pairs)
    rows = [
        [*prompt, *solution] + [pad_id] * (length - len(prompt) - len(solution)) for prompt, solution in pairs
    ]
    tokens_BT = torch.tensor(rows, dtype=torch.long, device=_device(model))
    with torch.no_grad():
        logits_BTV = model(tokens_BT[:, :-1])
        logp_BT = token_logprobs(logits_BTV, tokens_BT[:, 1:]).double().cpu()
    for (prompt, solution), logp_T in zip(pairs, logp_BT, strict=True):
        yield logp_T[len(prompt) - 1 : len(prompt) - 1 + len(solution)].tolist()


def _device(model: Policy) -> Any:
    weight: Tensor = next(model.parameters())
    return weight.device


def _common_prefix(rows: Sequence[list[int]]) -> list[int]:
    """The longest beginning that all rows share."""
    first, last = min(rows), max(rows)
    length = 0
    while length < min(len(first), len(last)) and first[length] == last[length]:
        length += 1
    return first[:length]
