"""The rules by which an answer counts as the gold answer, one class a benchmark."""

from __future__ import annotations

import atexit
import re
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Protocol

from echochamber.base import InputError, Registry
from echochamber.verify.answers import MAX_CHARACTERS, Number, parse_number
from echochamber.verify.comparing import Comparer
from echochamber.verify.math_answers import decide, normalized
from echochamber.verify.outcomes import Execution

# Relative tolerance for binary floats, whose last digits are rounding error.
TOLERANCE = Fraction(1, 10**6)


class Benchmark(Protocol):
    """How one benchmark compares."""

    name: str

    def check_gold(self, gold: str) -> None:
        """Raise `InputError` if `gold` cannot be a gold answer of this benchmark."""

    def text_equals(self, answers: Sequence[str], golds: Sequence[str]) -> list[bool]:
        """Whether each answer written as text is its gold answer."""

    def value_equals(self, execution: Execution, gold: str) -> bool | None:
        """Whether the value of a program is the gold answer; None if only its text can tell."""


def same_number(answer: Number, gold: Number) -> bool:
    """Exact equality; a percent sign must be the gold's own; a printed float may be off by its rounding."""
    if answer.percent and not gold.percent:
        return False
    if answer.value == gold.value:
        return True
    return answer.rounded and abs(answer.value - gold.value) <= TOLERANCE * max(Fraction(1), abs(gold.value))


def value_of(execution: Execution) -> Number | None:
    """The number a program gave: its value, or the last line it printed if it has no value.

    Booleans and compound values are no numbers. A float is compared with
    tolerance, unless it is whole; integers and decimals are exact.
    """
    kind, text = execution.kind, execution.value
    if kind == "none":
        kind, text = "str", execution.output
    if kind == "int":
        return Number(Fraction(int(text)))
    if kind == "float":
        value = float(text)
        if value != value or value in (float("inf"), float("-inf")):
            return None
        return Number(Fraction(value), rounded=not value.is_integer())
    if kind == "decimal":
        decimal = Decimal(text)
        return Number(Fraction(decimal)) if decimal.is_finite() and abs(decimal.adjusted()) < 400 else None
    return parse_number(text) if kind in ("str", "ratio") else None


@lru_cache(maxsize=16384)
def gold_number(gold: str) -> Number | None:
    """The number of a gold answer, which may come with its whole solution (`... #### 72`, `... A: 72`)."""
    marked = gold.rpartition("####")[2]
    return parse_number(marked.rpartition("\nA:")[2])


class Gsm8k:
    """Numbers only, compared exactly."""

    name = "gsm8k"

    def check_gold(self, gold: str) -> None:
        """A number, or a solution that ends in `#### number`."""
        if gold_number(gold) is None:
            raise InputError(f"the gold answer '{_short(gold)}' is no number: expected one such as 72 or 2.5")

    def text_equals(self, answers: Sequence[str], golds: Sequence[str]) -> list[bool]:
        """Exact comparison of numbers; anything else is wrong."""
        equal = []
        for answer, gold in zip(answers, golds, strict=True):
            number, target = parse_number(answer), gold_number(gold)
            equal.append(number is not None and target is not None and same_number(number, target))
        return equal

    def value_equals(self, execution: Execution, gold: str) -> bool | None:
        """Typed comparison of numbers."""
        number, target = value_of(execution), gold_number(gold)
        return number is not None and target is not None and same_number(number, target)


class Aime(Gsm8k):
    """Whole numbers from 0 to 999."""

    name = "aime"

    def check_gold(self, gold: str) -> None:
        """A whole number from 0 to 999; leading zeros are fine."""
        if not _in_range(gold_number(gold)):
            raise InputError(
                f"the gold answer '{_short(gold)}' is no AIME answer: expected a whole number from 0 to 999"
            )

    def text_equals(self, answers: Sequence[str], golds: Sequence[str]) -> list[bool]:
        """As for GSM8K; an answer out of range is wrong."""
        equal = super().text_equals(answers, golds)
        return [same and _in_range(parse_number(answer)) for same, answer in zip(equal, answers, strict=True)]


def _in_range(number: Number | None) -> bool:
    return (
        number is not None
        and not number.percent
        and number.value.denominator == 1
        and 0 <= number.value <= 999
    )


def _short(text: str) -> str:
    text = re.sub(r"\s+", " ", text)
    return text if len(text) <= 60 else text[:57] + "..."


class Math:
    """Numbers exactly, typesetting by rule, the rest by math-verify in confined processes of its own."""

    name = "math"

    def __init__(self) -> None:
        self._comparer: Comparer | None = None

    def check_gold(self, gold: str) -> None:
        """Any text that is not empty."""
        if not gold.strip():
            raise InputError("an empty gold answer: expected the answer as text, e.g. \\frac{1}{2}")

    def text_equals(self, answers: Sequence[str], golds: Sequence[str]) -> list[bool]:
        """Equality of answers in LaTeX."""
        decided = [_decided(answer, gold) for answer, gold in zip(answers, golds, strict=True)]
        open_pairs = [
            (normalized(gold), normalized(answer))
            for answer, gold, equal in zip(answers, golds, decided, strict=True)
            if equal is None
        ]
        if not open_pairs:
            return [bool(equal) for equal in decided]
        if self._comparer is None:
            self._comparer = Comparer()
            atexit.register(self._comparer.close)
        found = iter(self._comparer.equal(open_pairs))
        return [next(found) if equal is None else equal for equal in decided]

    def value_equals(self, execution: Execution, gold: str) -> bool | None:
        """Typed comparison where value and gold are numbers; booleans are no answer."""
        if execution.kind == "bool":
            return False
        number, target = value_of(execution), gold_number(gold)
        if number is not None and target is not None:
            return same_number(number, target)
        if execution.kind in ("int", "float", "decimal", "ratio") and number is None:
            return False
        return None


def _decided(answer: str, gold: str) -> bool | None:
    """What rules can say about two answers."""
    if len(answer) > MAX_CHARACTERS:
        return False
    number, target = parse_number(answer), gold_number(gold)
    same = None if number is None or target is None else same_number(number, target)
    return decide(answer, gold, same)


_benchmarks: Registry[Benchmark] = Registry("benchmark")
for _benchmark in (Gsm8k(), Math(), Aime()):
    _benchmarks.register(_benchmark.name, _benchmark)


def register_benchmark(benchmark: Benchmark) -> Benchmark:
    """Add rules of comparison under their `name`.

    Raises:
        InputError: the name is taken.
    """
    return _benchmarks.register(benchmark.name, benchmark)


def get_benchmark(name: str) -> Benchmark:
    """The rules of that name.

    Raises:
        InputError: unknown name; the message lists the known ones.
    """
    return _benchmarks.get(name)
