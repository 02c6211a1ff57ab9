"""Operation trees and the numbers in them: every result stays within given limits."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

from echochamber.corpora.identity import joined

Symbol = Literal["+", "-", "*", "/"]
SYMBOLS: tuple[Symbol, ...] = ("+", "-", "*", "/")

Operand = int | str
"""A literal, or the name of an earlier operation's result."""


class Operation(NamedTuple):
    """One node of an operation tree; operands are literals or names of earlier nodes."""

    name: str
    symbol: str
    left: Operand
    right: Operand


@dataclass(frozen=True, slots=True)
class NumberLimits:
    """Bounds of the numbers in a problem.

    Attributes:
        smallest, largest: inclusive bounds of the numbers that the question states.
        largest_result: inclusive bound of every intermediate and final result.
        allow_negative: whether a subtraction may go below one.
    """

    smallest: int
    largest: int
    largest_result: int
    allow_negative: bool


# A pattern is what one sentence does to the running quantity x with the numbers m and n it
# states: the operations in order, where an integer operand is the index of an earlier one.
PATTERNS: Mapping[str, tuple[tuple[str, str | int, str | int], ...]] = {
    "n": (),
    "m + n": (("+", "m", "n"),),
    "m * n": (("*", "m", "n"),),
    "m / n": (("/", "m", "n"),),
    "x + n": (("+", "x", "n"),),
    "x - n": (("-", "x", "n"),),
    "x * n": (("*", "x", "n"),),
    "x / n": (("/", "x", "n"),),
    "x + m * n": (("*", "m", "n"), ("+", "x", 0)),
    "x - m * n": (("*", "m", "n"), ("-", "x", 0)),
    "x + x * n": (("*", "x", "n"), ("+", "x", 0)),
    "x - x / n": (("/", "x", "n"), ("-", "x", 0)),
}

Numbers = tuple[int, int]


def between(rng: random.Random, low: int, high: int) -> int | None:
    """A uniformly drawn whole number in [low, high]; None if there is none."""
    if high < low:
        return None
    return low + int(rng.random() * (high - low + 1))


@lru_cache(maxsize=65536)
def divisors(value: int, largest: int) -> tuple[int, ...]:
    """Divisors of `value` from 2 to `largest`, without the value itself: a share of one makes no story."""
    return tuple(d for d in range(2, min(value // 2, largest) + 1) if value % d == 0)


def _count(limits: NumberLimits) -> int:
    """Smallest number stated before a plural noun or as a multiplier."""
    return max(2, limits.smallest)


def _pair(first: int | None, second: int | None) -> Numbers | None:
    return None if first is None or second is None else (first, second)


def _single(second: int | None) -> Numbers | None:
    return None if second is None else (0, second)


def _draw_sum(rng: random.Random, x: int, limits: NumberLimits) -> Numbers | None:
    m = between(rng, _count(limits), min(limits.largest, limits.largest_result - limits.smallest))
    if m is None:
        return None
    return _pair(m, between(rng, _count(limits), min(limits.largest, limits.largest_result - m)))


def _product_within(rng: random.Random, most: int, limits: NumberLimits) -> Numbers | None:
    """m groups of n with m * n <= most."""
    low = _count(limits)
    m = between(rng, low, min(limits.largest, most // low))
    return None if m is None else _pair(m, between(rng, low, min(limits.largest, most // m)))


def _draw_parts(rng: random.Random, x: int, limits: NumberLimits) -> Numbers | None:
    n = between(rng, 2, limits.largest // 2)
    if n is None:
        return None
    quotient = between(rng, -(-_count(limits) // n), min(limits.largest // n, limits.largest_result))
    return None if quotient is None else (quotient * n, n)


def _draw_less(rng: random.Random, x: int, limits: NumberLimits) -> Numbers | None:
    most = limits.largest if limits.allow_negative else min(limits.largest, x - 1)
    if limits.allow_negative:
        most = min(most, x + limits.largest_result)
    return _single(between(rng, limits.smallest, most))


def _draw_share(rng: random.Random, x: int, limits: NumberLimits) -> Numbers | None:
    options = divisors(x, limits.largest) if x > 1 else ()
    return (0, options[int(rng.random() * len(options))]) if options else None


def _draw_fraction(rng: random.Random, x: int, limits: NumberLimits) -> Numbers | None:
    # Down to a tenth: the wording has no short name for smaller parts.
    options = divisors(x, min(limits.largest, 10)) if x > 1 else ()
    return (0, options[int(rng.random() * len(options))]) if options else None


def _draw_times(rng: random.Random, x: int, limits: NumberLimits, spare: int = 0) -> Numbers | None:
    if x <= 0:
        return None
    return _single(between(rng, 2, min(limits.largest, limits.largest_result // x - spare)))


_DRAWS: Mapping[str, Callable[[random.Random, int, NumberLimits], Numbers | None]] = {
    "n": lambda rng, x, limits: _single(between(rng, _count(limits), limits.largest)),
    "m + n": _draw_sum,
    "m * n": lambda rng, x, limits: _product_within(rng, limits.largest_result, limits),
    "m / n": _draw_parts,
    "x + n": lambda rng, x, limits: _single(
        between(rng, limits.smallest, min(limits.largest, limits.largest_result - x))
    ),
    "x - n": _draw_less,
    "x * n": _draw_times,
    "x / n": _draw_share,
    "x + m * n": lambda rng, x, limits: _product_within(rng, limits.largest_result - x, limits),
    "x - m * n": lambda rng, x, limits: _product_within(rng, x - 1, limits),
    "x + x * n": lambda rng, x, limits: _draw_times(rng, x, limits, spare=1),
    "x - x / n": _draw_fraction,
}


def draw_numbers(pattern: str, x: int, limits: NumberLimits, rng: random.Random) -> Numbers | None:
    """Numbers (m, n) that keep the results of a pattern within the limits; m is 0 if it has none.

    Returns:
        None if there are no such numbers: the caller then tells another story.
    """
    return _DRAWS[pattern](rng, x, limits)


def calculate(symbol: str, left: int, right: int) -> int | None:
    """The result of one operation if it is a whole number, else None."""
    if symbol == "+":
        return left + right
    if symbol == "-":
        return left - right
    if symbol == "*":
        return left * right
    if right == 0 or left % right:
        return None
    return left // right


def evaluate(operations: Sequence[Operation]) -> dict[str, int] | None:
    """The result of every operation by name; None if a division is not exact."""
    values: dict[str, int] = {}
    for name, symbol, left, right in operations:
        a = left if isinstance(left, int) else values[left]
        b = right if isinstance(right, int) else values[right]
        result = calculate(symbol, a, b)
        if result is None:
            return None
        values[name] = result
    return values


def structure_of(operations: Sequence[Operation]) -> str:
    """The tree with its numbers, fully parenthesized: the identity of a problem regardless of its story.

    >>> structure_of([Operation("a", "+", 12, 5), Operation("b", "-", "a", 3)])
    '((5+12)-3)'
    """
    texts: dict[str, str] = {}
    for name, symbol, left, right in operations:
        a = str(left) if isinstance(left, int) else texts[left]
        b = str(right) if isinstance(right, int) else texts[right]
        texts[name] = joined(symbol, a, b)
    return texts[operations[-1].name]


def spoil(operations: Sequence[Operation], limits: NumberLimits, rng: random.Random) -> tuple[Operation, ...]:
    """The same operations with one of them wrong, so that the final result is another number.

    A wrong sign or a misread number, carried through consistently: what a
    careless solver writes, in code and in prose alike.
    """
    right_values = evaluate(operations)
    assert right_values is not None
    gold = right_values[operations[-1].name]
    while True:
        index = int(rng.random() * len(operations))
        chosen = operations[index]
        if rng.random() < 0.5:
            changed = chosen._replace(symbol=SYMBOLS[int(rng.random() * 4)])
        elif isinstance(chosen.right, int):
            changed = chosen._replace(right=max(1, chosen.right + (1 if rng.random() < 0.5 else -1)))
        elif isinstance(chosen.left, int):
            changed = chosen._replace(left=max(1, chosen.left + (1 if rng.random() < 0.5 else -1)))
        else:
            continue
        candidate = (*operations[:index], changed, *operations[index + 1 :])
        values = evaluate(candidate)
        if values is not None and values[candidate[-1].name] != gold:
            return candidate
