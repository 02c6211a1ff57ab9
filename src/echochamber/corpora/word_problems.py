"""Generated word problems as a training source and as a task."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from echochamber.base import Config, InputError, Problem, derive_seed, did_you_mean
from echochamber.corpora.identity import text_key
from echochamber.corpora.operations import (
    SYMBOLS,
    NumberLimits,
    Operation,
    Symbol,
    evaluate,
    spoil,
    structure_of,
)
from echochamber.corpora.sources import BaseSource, Example, register_source
from echochamber.corpora.stories import FAMILY_NAMES, Story, Teller
from echochamber.corpora.tasks import BaseTask, ProblemSet, References, register_task
from echochamber.formats import Step, Worked, detected, format_names, get_format

CHUNK_DOCUMENTS = 1000

# Consecutive stories without a new problem after which a grammar counts as exhausted.
_PATIENCE = 20_000

# Structures per level that a source must have to train on; with fewer, a model would memorize them.
_LEAST_LEFT = 10


def _operations(level: int) -> str:
    return "1 operation" if level == 1 else f"{level} operations"


class Grammar(Config):
    """The kind of problems to generate.

    Attributes:
        style: `terse` has one short sentence per operation and few words, for small models; `rich` varies.
        levels: numbers of operations, drawn uniformly; a level listed twice is drawn twice as often.
        families: story families; a family that only an evaluation task lists is held out whole.
        operations: symbols that may occur.
        smallest: least number that a question states (the number one would need its own wording).
        largest: greatest number that a question states.
        largest_result: greatest intermediate or final result.
        allow_negative: whether a subtraction may go below one.
        distractors: share of questions with a sentence whose number does not matter.
    """

    style: Literal["terse", "rich"] = "terse"
    levels: tuple[int, ...] = Field(default=(1, 2), min_length=1)
    families: tuple[str, ...] = Field(default=FAMILY_NAMES, min_length=1)
    operations: tuple[Symbol, ...] = Field(default=SYMBOLS, min_length=1)
    smallest: int = Field(default=2, ge=2)
    largest: int = Field(default=20, ge=2)
    largest_result: int = Field(default=100, ge=2)
    allow_negative: bool = False
    distractors: float = Field(default=0.0, ge=0, le=1)

    @field_validator("levels")
    @classmethod
    def _known_levels(cls, levels: tuple[int, ...]) -> tuple[int, ...]:
        for level in levels:
            if not 1 <= level <= 6:
                raise ValueError(f"level {level}: expected numbers of operations from 1 to 6")
        return levels

    @field_validator("families")
    @classmethod
    def _known_families(cls, families: tuple[str, ...]) -> tuple[str, ...]:
        for family in families:
            if family not in FAMILY_NAMES:
                raise ValueError(
                    f"unknown story family '{family}': expected one of {', '.join(FAMILY_NAMES)}."
                    f"{did_you_mean(family, FAMILY_NAMES)}"
                )
        return families

    @model_validator(mode="after")
    def _ordered(self) -> Grammar:
        if self.smallest > self.largest:
            raise ValueError(f"smallest {self.smallest} is above largest {self.largest}; swap them")
        return self

    def teller(self) -> Teller:
        """The story teller of this grammar."""
        limits = NumberLimits(self.smallest, self.largest, self.largest_result, self.allow_negative)
        return _teller(self.style, self.families, self.operations, limits, self.distractors)


def tell_new(
    teller: Teller,
    level: int,
    rng: random.Random,
    avoided: frozenset[str] | set[str],
    *,
    avoid_texts: bool = False,
    met: set[str] | None = None,
) -> tuple[str, Story] | None:
    """A story of that level that need not be avoided, with its structure; None if none is found.

    Args:
        avoided: structures, and texts if `avoid_texts`.
        met: collects the structures of all stories generated along the way.
    """
    for _ in range(_PATIENCE):
        story = teller.tell(level, rng)
        if story is not None:
            structure = structure_of(story.operations)
            if met is not None:
                met.add(structure)
            # The text decides for a reserved problem without a structure, which was read from a file.
            if structure not in avoided and not (avoid_texts and text_key(story.question) in avoided):
                return structure, story
    return None


def avoids_texts(avoided: Iterable[str]) -> bool:
    """Whether texts are among the identities to avoid."""
    return any(key.startswith("text:") for key in avoided)


@lru_cache(maxsize=64)
def _teller(
    style: str,
    families: tuple[str, ...],
    operations: tuple[str, ...],
    limits: NumberLimits,
    distractors: float,
) -> Teller:
    return Teller(
        style=style, families=families, operations=operations, limits=limits, distractors=distractors
    )


def worked(story: Story, operations: tuple[Operation, ...] | None = None) -> Worked:
    """The step-by-step solution of a story, ready to be written in any format.

    Args:
        operations: used instead of the story's own, for a wrong solution.
    """
    values = story.values
    if operations is None:
        operations = story.operations
    else:
        values = evaluate(operations) or {}
    steps = []
    for operation, claim in zip(operations, story.claims, strict=True):
        name, symbol, left, right = operation
        a = left if isinstance(left, int) else values[left]
        b = right if isinstance(right, int) else values[right]
        steps.append(
            Step(
                name=name,
                expression=f"{left} {symbol} {right}",
                shown=f"{a} {symbol} {b}",
                value=str(values[name]),
                sentence=claim,
                unit=story.unit,
            )
        )
    return Worked(question=story.question, steps=tuple(steps), answer=steps[-1].value)


def render_all(solution: Worked) -> dict[str, str]:
    """The same worked solution in every registered format."""
    return {name: get_format(name).render(solution) for name in format_names()}


def _solutions(story: Story) -> dict[str, str]:
    return render_all(worked(story))


def known_format(name: str) -> str:
    """A field validator: the name of a registered format.

    Raises:
        ValueError: there is no such format.
    """
    known = format_names()
    if name not in known:
        raise ValueError(
            f"unknown format '{name}': expected one of {', '.join(known)}.{did_you_mean(name, known)}"
        )
    return name


@register_source
class WordProblemsSource(BaseSource, Grammar):
    """An endless stream of word problems with solutions in one format.

    Attributes:
        format: format of the solutions.
        wrong_share: share of solutions with one wrong operation or number, carried through.
    """

    endless: ClassVar[bool] = True

    kind: Literal["word_problems"] = "word_problems"
    format: str
    wrong_share: float = Field(default=0.0, ge=0, le=1)

    @field_validator("format")
    @classmethod
    def _known_format(cls, name: str) -> str:
        return known_format(name)

    def chunks(self, *, seed: int, excluded: frozenset[str], start: int = 0) -> Iterator[list[Example]]:
        """See `BaseSource.chunks`.

        Raises:
            InputError: at some level every problem is excluded.
        """
        index = start
        while True:
            yield self._chunk(random.Random(derive_seed(seed, "word_problems", index)), excluded)
            index += 1

    def _chunk(self, rng: random.Random, excluded: frozenset[str]) -> list[Example]:
        teller = self.teller()
        render = get_format(self.format).render
        avoid_texts = avoids_texts(excluded)
        examples = []
        for _ in range(CHUNK_DOCUMENTS):
            level = self.levels[int(rng.random() * len(self.levels))]
            told = tell_new(teller, level, rng, excluded, avoid_texts=avoid_texts)
            if told is None:
                self.check_left(excluded)
                raise InputError(f"word problems of {level} operations: hardly any is left; raise largest")
            structure, story = told
            wrong = rng.random() < self.wrong_share
            solution = render(worked(story, spoil(story.operations, teller.limits, rng) if wrong else None))
            examples.append(Example(structure, story.question, solution, self.format, not wrong, structure))
        return examples

    def check_left(self, excluded: frozenset[str]) -> None:
        """See `BaseSource.check_left`."""
        teller, avoid_texts = self.teller(), avoids_texts(excluded)
        for level in dict.fromkeys(self.levels):
            rng, met, left = random.Random(0), set[str](), set[str]()
            while len(left) < _LEAST_LEFT:
                told = tell_new(teller, level, rng, excluded | left, avoid_texts=avoid_texts, met=met)
                if told is None:
                    break
                structure, story = told
                self._check_recognized(story)
                left.add(structure)
            if len(left) < _LEAST_LEFT:
                raise InputError(
                    f"word problems of {_operations(level)}: the grammar has {len(met)} different "
                    f"structures, "
                    f"{len(met - left)} of them are reserved for problem sets and {len(left)} are left for "
                    f"training, where {_LEAST_LEFT} are needed; raise largest or largest_result, or reserve "
                    "fewer"
                )

    def _check_recognized(self, story: Story) -> None:
        """Refuse a format that does not recognize what it writes, or that another claims too."""
        solution = get_format(self.format).render(worked(story))
        if (found := detected(solution)) != (self.format,):
            raise InputError(
                f"the format '{self.format}' writes {solution!r}, which is detected by "
                f"{' and '.join(found) or 'no format'}; exactly that format must detect what it writes"
            )


@register_task
class WordProblemsTask(BaseTask, Grammar):
    """Word problems to be solved, spread evenly over the levels."""

    generated: ClassVar[bool] = True

    kind: Literal["word_problems"] = "word_problems"
    num_problems: int | None = Field(default=200, ge=1)

    @field_validator("num_problems")
    @classmethod
    def _finite(cls, number: int | None) -> int | None:
        if number is None:
            raise ValueError("expected a number: generated problems have no natural end")
        return number

    def draw(self, *, seed: int, taken: frozenset[str]) -> ProblemSet:
        """See `BaseTask.draw`. Levels alternate, so that any prefix is spread evenly too."""
        rng, teller = random.Random(seed), self.teller()
        avoid_texts = avoids_texts(taken)
        seen = set(taken)
        met: dict[int, set[str]] = {level: set() for level in self.levels}
        problems: list[Problem] = []
        assert self.num_problems is not None
        for index in range(self.num_problems):
            level = self.levels[index % len(self.levels)]
            told = tell_new(teller, level, rng, seen, avoid_texts=avoid_texts, met=met[level])
            if told is None:
                raise self._too_small(level, met[level], met[level] & taken)
            structure, story = told
            seen.add(structure)
            problems.append(
                Problem(
                    key=structure,
                    question=story.question,
                    gold=str(story.values[story.operations[-1].name]),
                    level=level,
                    family=story.family,
                    structure=structure,
                    references=References(partial(_solutions, story)),
                )
            )
        return ProblemSet(problems)

    def _too_small(self, level: int, met: set[str], taken: set[str]) -> InputError:
        """The error for more problems of a level than there are."""
        assert self.num_problems is not None
        wanted = sum(self.levels[i % len(self.levels)] == level for i in range(self.num_problems))
        return InputError(
            f"asks for {wanted} problems of {_operations(level)}, but the grammar has only {len(met)} "
            f"different structures (numbers and operations, sums and products in either order), of which "
            f"{len(taken)} are reserved by earlier tasks and {len(met) - len(taken)} are left; raise largest "
            "or largest_result, allow more operations, or lower num_problems"
        )
