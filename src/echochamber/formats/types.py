"""What a format is written from and what it reads back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of a worked solution.

    Attributes:
        name: Python identifier of the result, e.g. `"apples_left"`.
        expression: valid Python over literals and names of earlier steps, e.g. `"apples - 5"`.
        shown: the same with numbers only, e.g. `"12 - 5"`.
        value: the result as text, e.g. `"7"` or `"2.5"`.
        sentence: prose that leads to the computation, e.g. `"Tom keeps"`; may be empty.
        unit: what the result counts, e.g. `"apples"`; may be empty.
    """

    name: str
    expression: str
    shown: str
    value: str
    sentence: str = ""
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Worked:
    """A question with its step-by-step solution; the last step gives the answer."""

    question: str
    steps: tuple[Step, ...]
    answer: str


@dataclass(frozen=True, slots=True)
class Program:
    """Code found in a completion.

    Attributes:
        sources: one text per code block, to be run in order in one namespace.
        calls_function: the answer is what a function of the program returns;
            otherwise it is the value of the last expression, or what was printed.
    """

    sources: tuple[str, ...]
    calls_function: bool


@dataclass(frozen=True, slots=True)
class Extracted:
    """What a completion offers as its answer.

    Attributes:
        program: code whose result is the answer, if the format answers with code.
        answer: the answer stated in text; if there is a program too, it is recorded but not rewarded.
    """

    program: Program | None = None
    answer: str | None = None


class Format(Protocol):
    """One way to write a solution.

    Attributes:
        name: label in tables and studies.
        summary: a one-line description for people.
    """

    name: str
    summary: str

    def render(self, worked: Worked) -> str:
        """The solution text, without the question."""

    def detect(self, completion: str) -> bool:
        """Whether the completion shows the structure of this format, even if it was cut off."""

    def extract(self, completion: str) -> Extracted:
        """The answer offered by a completion of this format."""
