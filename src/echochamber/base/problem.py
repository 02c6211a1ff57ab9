"""The question a model is asked, with the answer that earns the reward."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Problem:
    """One question with its gold answer.

    Attributes:
        key: names the problem in records; two problems of a study never share one.
        question: text shown to the model, without the blank line that follows it.
        gold: the correct answer as text, without its solution (`"72"`).
        rules: how its answers are compared with the gold answer, e.g. `"gsm8k"`.
        level: difficulty (number of operations for generated problems), 0 if unknown.
        family: story family or subject, empty if unknown.
        structure: operations and numbers of its solution, empty if unknown (see `corpora.identity`).
        references: a correct solution per format, where the source can write one; not part of the identity.
    """

    key: str
    question: str
    gold: str
    rules: str = "gsm8k"
    level: int = 0
    family: str = ""
    structure: str = ""
    references: Mapping[str, str] = field(default_factory=dict, compare=False)
