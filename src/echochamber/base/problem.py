"""The question a model is asked, with the answer that earns the reward."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Problem:
    """One question with its gold answer.

    Attributes:
        key: identity of the problem; equal keys are the same problem, whatever the wording.
        question: text shown to the model, without the blank line that follows it.
        gold: the correct answer as text, already free of its solution (`"72"`).
        benchmark: rules its answers are graded by, e.g. `"gsm8k"`.
        level: difficulty (number of operations for generated problems), 0 if unknown.
        family: story family or subject, empty if unknown.
        references: a correct solution by format, where the source can write one; no part of the identity.
    """

    key: str
    question: str
    gold: str
    benchmark: str = "gsm8k"
    level: int = 0
    family: str = ""
    references: Mapping[str, str] = field(default_factory=dict, compare=False)
