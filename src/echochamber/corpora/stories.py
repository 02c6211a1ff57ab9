"""Turns a number of operations into a story: moves are drawn one by one, with numbers that fit."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from echochamber.corpora.operations import (
    PATTERNS,
    NumberLimits,
    Numbers,
    Operand,
    Operation,
    between,
    calculate,
    draw_numbers,
)
from echochamber.corpora.story_texts import DISTRACTORS, FAMILIES, FRACTIONS, NAMES, PAIRS
from echochamber.corpora.wording import STYLES, Move, PairWording, Wording

T = TypeVar("T")

PAIR_FAMILY = "comparison"
FAMILY_NAMES: tuple[str, ...] = (*FAMILIES, PAIR_FAMILY)

# How often a story opens with a sentence that already computes, and how often it has a special ending instead
# of the plain question, where both are possible.
_OPENING_SHARE = 0.3
_ENDING_SHARE = 0.3
_TRIES = 12
_LONGEST = max(len(steps) for steps in PATTERNS.values())


@dataclass(frozen=True, slots=True)
class Story:
    """A question and the operations that answer it.

    Attributes:
        operations: in the order of the solution; the last one gives the answer.
        values: result of each operation by name.
        claims: prose that introduces each result.
        unit: what the answer counts.
    """

    family: str
    style: str
    question: str
    operations: tuple[Operation, ...]
    values: dict[str, int]
    claims: tuple[str, ...]
    unit: str


def pick(rng: random.Random, options: Sequence[T]) -> T:
    """A uniformly drawn option; several times faster than `Random.choice`."""
    return options[int(rng.random() * len(options))]


_SUFFIX = {"+": "total", "-": "left", "*": "total", "/": "each"}


class _Draft:
    """A story in the making: its sentences and the operations that they state."""

    def __init__(self, style: str, limits: NumberLimits, rng: random.Random, unit: str) -> None:
        self.style, self.limits, self.rng = style, limits, rng
        self.noun = unit
        self.sentences: list[str] = []
        self.operations: list[Operation] = []
        self.values: dict[str, int] = {}
        self.claims: list[str] = []

    def _name(self, symbol: str, inner: bool) -> str:
        if self.style == "terse":
            return "abcdefgh"[len(self.operations)]
        name = f"{self.noun}_{'part' if inner else _SUFFIX[symbol]}"
        count = sum(other.name.rstrip("0123456789") == name for other in self.operations)
        return f"{name}{count + 1}" if count else name

    def value(self, operand: Operand) -> int:
        """The number of a literal or a name."""
        return operand if isinstance(operand, int) else self.values[operand]

    def apply(self, pattern: str, x: Operand, numbers: Numbers, claim: str) -> Operand:
        """Append a pattern's operations; returns the operand that refers to its result."""
        m, n = numbers
        if pattern == "n":
            return n
        if len(PATTERNS[pattern]) == 1:
            symbol, left, _ = PATTERNS[pattern][0]
            name = self._name(symbol, inner=False)
            self.add(name, symbol, x if left == "x" else m, n, claim)
            return name
        names: list[str] = []
        steps = PATTERNS[pattern]
        for index, (symbol, left, right) in enumerate(steps):
            slots: dict[str | int, Operand] = {"x": x, "m": m, "n": n, **dict(enumerate(names))}
            name = self._name(symbol, inner=index < len(steps) - 1)
            self.add(name, symbol, slots[left], slots[right], claim if index == len(steps) - 1 else "")
            names.append(name)
        return names[-1]

    def add(self, name: str, symbol: str, left: Operand, right: Operand, claim: str) -> None:
        """Append one operation."""
        result = calculate(symbol, self.value(left), self.value(right))
        assert result is not None, "numbers are drawn so that divisions are exact"
        self.operations.append(Operation(name, symbol, left, right))
        self.values[name] = result
        self.claims.append(claim)


def _cost(move: Move) -> int:
    return len(PATTERNS[move.pattern])


def _allowed(moves: Sequence[Move], operations: frozenset[str]) -> tuple[Move, ...]:
    return tuple(m for m in moves if all(symbol in operations for symbol, _, _ in PATTERNS[m.pattern]))


class _Moves:
    """Moves that may occur, grouped for drawing.

    Attributes:
        free: those without an operation.
        costly: index k has those of 1 to k operations.
        groups: the same, grouped by final symbol. The symbol is drawn first, so that a family with many ways
            to add does not add more often.
    """

    def __init__(self, moves: Sequence[Move], operations: frozenset[str]) -> None:
        allowed = _allowed(moves, operations)
        self.free = tuple(move for move in allowed if _cost(move) == 0)
        self.costly = tuple(
            tuple(move for move in allowed if 0 < _cost(move) <= most) for most in range(_LONGEST + 1)
        )
        self.groups = tuple(_by_symbol(costly) for costly in self.costly)


def _by_symbol(moves: tuple[Move, ...]) -> tuple[tuple[Move, ...], ...]:
    groups: dict[str, list[Move]] = {}
    for move in moves:
        groups.setdefault(PATTERNS[move.pattern][-1][0], []).append(move)
    return tuple(tuple(group) for group in groups.values())


class _Family:
    """A family's wording with its moves prepared for drawing."""

    def __init__(self, wording: Wording, operations: frozenset[str]) -> None:
        self.wording = wording
        self.openings = _Moves(wording.openings, operations)
        self.events = _Moves(wording.events, operations)
        self.endings = _Moves(wording.endings, operations)


class Teller:
    """Tells stories of one style within limits.

    Args:
        families: story families to draw from.
        operations: symbols that may occur.
        distractors: share of stories with a sentence whose number does not matter.
    """

    def __init__(
        self,
        *,
        style: str,
        families: Sequence[str],
        operations: Sequence[str],
        limits: NumberLimits,
        distractors: float,
    ) -> None:
        assert style in STYLES, style
        self.style, self.families, self.limits = style, tuple(families), limits
        self.operations = frozenset(operations)
        self.distractors = distractors
        self._families = {
            family: _Family(FAMILIES[family][style], self.operations)
            for family in self.families
            if family != PAIR_FAMILY
        }
        self._pair_events = _Moves(PAIRS[style].events, self.operations)
        self._pair_relations = _Moves(PAIRS[style].relations, self.operations)

    def tell(self, level: int, rng: random.Random) -> Story | None:
        """One story of `level` operations, or None if the numbers drawn led nowhere."""
        family = pick(rng, self.families)
        if family == PAIR_FAMILY:
            return self._tell_pair(level, rng, PAIRS[self.style])
        return self._tell_single(level, rng, family, self._families[family])

    def _tell_single(self, level: int, rng: random.Random, name: str, family: _Family) -> Story | None:
        wording = family.wording
        slots = self._slots(rng, wording.items)
        draft = _Draft(self.style, self.limits, rng, slots["item"])
        claim = wording.claim.format_map(slots) if self.style != "terse" else ""
        costly = family.openings.costly[min(level, _LONGEST)]
        opening = pick(rng, costly if costly and rng.random() < _OPENING_SHARE else family.openings.free)
        x = self._make(draft, opening, 0, slots, claim)
        question = ""
        while x is not None and len(draft.operations) < level:
            left = level - len(draft.operations)
            ending = family.endings.groups[1] if left == 1 else ()
            events = family.events.groups[min(left, _LONGEST)]
            if ending and (not events or rng.random() < _ENDING_SHARE):
                x = self._make_one_of(draft, ending, x, slots, claim)
                question = draft.sentences.pop() if x is not None else ""
            else:
                x = self._make_one_of(draft, events, x, slots, claim)
        if x is None:
            return None
        draft.sentences.append(question or pick(rng, wording.questions).format_map(slots))
        self._distract(draft, slots)
        return self._finish(name, draft, wording.unit.format_map(slots))

    def _make_one_of(
        self,
        draft: _Draft,
        groups: tuple[tuple[Move, ...], ...],
        x: Operand,
        slots: dict[str, str],
        claim: str,
    ) -> Operand | None:
        for _ in range(_TRIES if groups else 0):
            result = self._make(draft, pick(draft.rng, pick(draft.rng, groups)), x, slots, claim)
            if result is not None:
                return result
        return None

    def _make(
        self, draft: _Draft, move: Move, x: Operand, slots: dict[str, str], claim: str
    ) -> Operand | None:
        numbers = draw_numbers(move.pattern, draft.value(x), self.limits, draft.rng)
        if numbers is None:
            return None
        m, n = numbers
        fraction = FRACTIONS.get(n, "")
        draft.sentences.append(pick(draft.rng, move.texts).format(m=m, n=n, fraction=fraction, **slots))
        return draft.apply(move.pattern, x, numbers, claim)

    def _slots(self, rng: random.Random, items: Sequence[str]) -> dict[str, str]:
        name, pronoun = pick(rng, NAMES[self.style])
        return {
            "name": name,
            "other": "",
            "He": pronoun,
            "he": pronoun.lower(),
            "his": "his" if pronoun == "He" else "her",
            "item": pick(rng, items),
        }

    def _distract(self, draft: _Draft, slots: dict[str, str]) -> None:
        if self.distractors and draft.rng.random() < self.distractors:
            number = between(draft.rng, self.limits.smallest, self.limits.largest)
            text = pick(draft.rng, DISTRACTORS[self.style]).format(n=number, **slots)
            # At the front, where it cannot separate a pronoun from what it refers to.
            draft.sentences.insert(0, text)

    def _finish(self, family: str, draft: _Draft, unit: str) -> Story:
        return Story(
            family=family,
            style=self.style,
            question=" ".join(draft.sentences),
            operations=tuple(draft.operations),
            values=draft.values,
            claims=tuple(draft.claims),
            unit=unit if self.style != "terse" else "",
        )

    def _tell_pair(self, level: int, rng: random.Random, wording: PairWording) -> Story | None:
        slots = self._slots(rng, wording.items)
        names = [name for name, _ in NAMES[self.style] if name != slots["name"]]
        first, second = slots["name"], pick(rng, names)
        draft = _Draft(self.style, self.limits, rng, slots["item"])
        claims = ("", "") if self.style == "terse" else (f"{first} has", f"{second} has")
        relations = self._pair_relations.groups[1]
        closings = [symbol for symbol in "+-" if symbol in self.operations]
        # Without a closing operation, the question is about the second holder, whose number must be computed.
        closing = pick(rng, closings) if closings and (level > 1 or rng.random() < 0.5) else ""
        if level > 1 and relations and rng.random() < 0.25:
            closing = ""
        relate = bool(relations) and (not closing or (level > 1 and rng.random() < 0.5))
        if not closing and not relate:
            return None
        spare = level - bool(closing) - relate
        early = between(rng, 0, spare) or 0
        a = self._hold(draft, wording.first, {**slots, "name": first, "other": second})
        a = self._happen(draft, a, early, {**slots, "name": first, "other": second}, claims[0])
        if a is None:
            return None
        own = {**slots, "name": second, "other": first}
        if relate:
            b = self._make_one_of(draft, relations, a, own, claims[1])
        else:
            b = self._hold(draft, wording.second, own)
        b = self._happen(draft, b, spare - early, own, claims[1])
        if b is None:
            return None
        return self._close_pair(draft, wording, closing, (a, b), {**slots, "name": first, "other": second})

    def _hold(self, draft: _Draft, texts: Sequence[str], slots: dict[str, str]) -> Operand | None:
        return self._make(draft, Move("n", tuple(texts)), 0, slots, "")

    def _happen(
        self, draft: _Draft, x: Operand | None, count: int, slots: dict[str, str], claim: str
    ) -> Operand | None:
        end = len(draft.operations) + count
        while x is not None and len(draft.operations) < end:
            events = self._pair_events.groups[min(end - len(draft.operations), _LONGEST)]
            x = self._make_one_of(draft, events, x, slots, claim)
        return x

    def _close_pair(
        self,
        draft: _Draft,
        wording: PairWording,
        closing: str,
        holders: tuple[Operand, Operand],
        slots: dict[str, str],
    ) -> Story | None:
        a, b = holders
        x, y = draft.value(a), draft.value(b)
        swapped = {**slots, "name": slots["other"], "other": slots["name"]}
        claim = ""
        if closing == "+":
            if x + y > self.limits.largest_result:
                return None
            text, left, right = pick(draft.rng, wording.together).format_map(slots), a, b
            claim = "together they have"
        elif closing == "-":
            if x == y:
                return None
            text = pick(draft.rng, wording.more).format_map(slots if x > y else swapped)
            left, right = (a, b) if x > y else (b, a)
            claim = "the difference is"
        else:
            text = pick(draft.rng, wording.alone).format_map(swapped)
        if closing:
            name = draft._name(closing, inner=False)
            draft.add(name, closing, left, right, claim.capitalize() if self.style != "terse" else "")
        draft.sentences.append(text)
        self._distract(draft, slots)
        return self._finish(PAIR_FAMILY, draft, slots["item"])
