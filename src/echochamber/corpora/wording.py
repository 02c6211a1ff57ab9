"""The building blocks of a generated problem's text: moves, and families of stories made of them.

A family has moves; a move is one sentence and the pattern of operations that it means. The texts themselves
are in `story_texts`.

Slots: {name} {other} {He} {he} {his} {item}, the numbers {m} and {n}, and
{fraction}, which is 1/n in words.
"""

from __future__ import annotations

from dataclasses import dataclass

STYLES = ("terse", "rich")


@dataclass(frozen=True, slots=True)
class Move:
    """One sentence (any of `texts`) and the pattern of operations that it means."""

    pattern: str
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wording:
    """One family in one style.

    Attributes:
        items: what is counted.
        openings: first sentences; `"n"` states a number, the others already compute.
        events: sentences in the middle, each changing the running quantity.
        endings: last sentence and question in one, for operations that can end a story.
        questions: questions about the running quantity.
        unit: what the answer counts; may use {item}.
        claim: how a worked solution introduces the running quantity.
    """

    items: tuple[str, ...]
    openings: tuple[Move, ...]
    events: tuple[Move, ...]
    endings: tuple[Move, ...]
    questions: tuple[str, ...]
    unit: str
    claim: str


@dataclass(frozen=True, slots=True)
class PairWording:
    """Two people compared: {name} comes first, {other} second.

    Attributes:
        first, second: state a holder's number {n} of {item}.
        relations: the second holder's number from the first one's; patterns in x.
        events: what then happens to one holder, who is {name}.
        together, more: the closing questions; in `more`, {name} holds more than {other}.
        alone: asks for the second holder's number.
    """

    items: tuple[str, ...]
    first: tuple[str, ...]
    second: tuple[str, ...]
    relations: tuple[Move, ...]
    events: tuple[Move, ...]
    together: tuple[str, ...]
    more: tuple[str, ...]
    alone: tuple[str, ...]
