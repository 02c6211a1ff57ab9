"""The result of grading a completion, and the limits under which its programs run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """Why a completion was rewarded or not: a closed list."""

    correct = "correct"
    wrong = "wrong"
    no_answer = "no_answer"
    truncated = "truncated"
    syntax_error = "syntax_error"
    runtime_error = "runtime_error"
    timeout = "timeout"
    memory = "memory"
    unsupported = "unsupported"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of grading one completion.

    Attributes:
        format: its one label, see `formats.classify`.
        outcome: why it was rewarded or not.
        answer: the answer as text, None if it offers none.
        reward: 1.0 if correct, else 0.0.
        stated: for code, the answer stated in the text around it, None if there is none.
        stated_correct: whether that answer is correct; None if nothing is stated.
        computed: for code, the value it returned, None if it returned none.
        computed_correct: whether that value is correct; None where there is no code.
    """

    format: str
    outcome: Outcome
    answer: str | None
    reward: float
    stated: str | None = None
    stated_correct: bool | None = None
    computed: str | None = None
    computed_correct: bool | None = None


@dataclass(frozen=True, slots=True)
class ExecutionLimits:
    """What one program may use.

    Attributes:
        seconds: wall-clock time of a program in tier 1.
        memory_mib: heap of a program in tier 1.
        confined_seconds: wall-clock time of a program in tier 2.
        confined_memory_mib: address space of a program in tier 2, above that of the server it forks from.
        output_bytes: printed text; a program that prints more has failed.
    """

    seconds: float = 2.0
    memory_mib: int = 64
    confined_seconds: float = 5.0
    confined_memory_mib: int = 512
    output_bytes: int = 65_536


@dataclass(frozen=True, slots=True)
class Execution:
    """What came back from running one program: scalars only.

    Attributes:
        status: `ok`, or the outcome that ended it (`runtime_error`, `timeout`, `memory`, `unsupported`).
        kind: type of the value: `int`, `float`, `decimal`, `str`, `bool`, `none` or `other`.
        value: the value as text.
        output: last line printed, empty if nothing was.
    """

    status: str
    kind: str = "none"
    value: str = ""
    output: str = ""
