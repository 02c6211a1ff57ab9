"""Plain facts such as `37 + 45 = 82`, in place of general mathematical text."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from echochamber.base import InputError, derive_seed
from echochamber.corpora.operations import SYMBOLS, Symbol, calculate
from echochamber.corpora.sources import BaseSource, Example, register_source
from echochamber.corpora.word_problems import CHUNK_DOCUMENTS


@register_source
class ArithmeticSource(BaseSource):
    """An endless stream of arithmetic facts as raw text.

    Facts are general knowledge, not problems: they stay in the stream even if a reserved problem has the same
    numbers.

    Attributes:
        operations: symbols that occur.
        smallest, largest: bounds of the operands (of divisor and quotient for a division).
        largest_result: greatest result.
        facts: number of facts per document.
        separator: text between two facts.
    """

    endless: ClassVar[bool] = True

    kind: Literal["arithmetic"] = "arithmetic"
    operations: tuple[Symbol, ...] = Field(default=SYMBOLS, min_length=1)
    smallest: int = Field(default=1, ge=1)
    largest: int = Field(default=20, ge=1)
    largest_result: int = Field(default=100, ge=1)
    facts: int = Field(default=3, ge=1)
    separator: str = "\n"

    @model_validator(mode="after")
    def _possible(self) -> ArithmeticSource:
        if self.smallest > self.largest:
            raise ValueError(f"smallest {self.smallest} is above largest {self.largest}; swap them")
        return self

    def chunks(self, *, seed: int, excluded: frozenset[str], start: int = 0) -> Iterator[list[Example]]:
        """See `BaseSource.chunks`."""
        index = start
        while True:
            rng = random.Random(derive_seed(seed, "arithmetic", index))
            yield [self._document(rng) for _ in range(CHUNK_DOCUMENTS)]
            index += 1

    def _document(self, rng: random.Random) -> Example:
        text = self.separator.join(self._fact(rng) for _ in range(self.facts))
        return Example(key="facts:" + text, question=None, solution=text, format=None, correct=True)

    def _fact(self, rng: random.Random) -> str:
        span = self.largest - self.smallest + 1
        for _ in range(10_000):
            symbol = self.operations[int(rng.random() * len(self.operations))]
            a = self.smallest + int(rng.random() * span)
            b = self.smallest + int(rng.random() * span)
            if symbol == "/":
                a *= b
            elif symbol == "-" and a < b:
                a, b = b, a
            result = calculate(symbol, a, b)
            if (
                result is not None
                and result <= self.largest_result
                and a <= max(self.largest, self.largest_result)
            ):
                return f"{a} {symbol} {b} = {result}"
        raise InputError(
            f"arithmetic: operands from {self.smallest} to {self.largest} hardly ever give a result up to "
            f"{self.largest_result}; raise largest_result or lower smallest"
        )
