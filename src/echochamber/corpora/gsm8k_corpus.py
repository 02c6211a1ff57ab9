"""GSM8K (Cobbe et al. 2021, arXiv:2110.14168): read as published, with solutions re-rendered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal

from pydantic import field_validator

from echochamber.base import Problem, Row, read_files, text_field
from echochamber.corpora.gsm8k_solutions import (
    ANNOTATION,
    NotConvertible,
    convert,
    final_answer,
    structure_of_solution,
)
from echochamber.corpora.identity import text_key
from echochamber.corpora.local_files import FILE_CHUNK_ROWS
from echochamber.corpora.sources import BaseSource, Example, register_source, text_example
from echochamber.corpora.tasks import (
    BaseTask,
    ProblemSet,
    References,
    check_gold,
    register_task,
    take_problems,
)
from echochamber.corpora.word_problems import known_format
from echochamber.formats import format_names, get_format


@dataclass(slots=True)
class Conversion:
    """How many solutions of a file convert, and why the others do not."""

    total: int = 0
    converted: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    def count(self, reason: str | None) -> None:
        """Count one solution; `reason` is None if it converts."""
        self.total += 1
        if reason is None:
            self.converted += 1
        else:
            self.reasons[reason] = self.reasons.get(reason, 0) + 1


def _rows(path: Path, start: int = 0) -> Iterator[tuple[str, Row]]:
    return read_files((path,), ("question", "answer"), start)


@register_source
class Gsm8kSource(BaseSource):
    """GSM8K training questions with their solutions in one format.

    Attributes:
        path: the published `train.jsonl`, or the hub's Parquet file.
        format: `gsm8k` keeps the published solutions, including annotations; any other format is rendered
            from the annotations, and questions that do not convert are left out and counted.
    """

    kind: Literal["gsm8k"] = "gsm8k"
    path: Path
    format: str = "gsm8k"

    @field_validator("format")
    @classmethod
    def _known_format(cls, name: str) -> str:
        return known_format(name)

    def inputs(self) -> tuple[Path, ...]:
        """See `BaseSource.inputs`."""
        return (self.path.expanduser(),)

    def chunks(self, *, seed: int, excluded: frozenset[str], start: int = 0) -> Iterator[list[Example]]:
        """See `BaseSource.chunks`."""
        rows = _rows(self.path.expanduser(), start * FILE_CHUNK_ROWS)
        while batch := list(islice(rows, FILE_CHUNK_ROWS)):
            yield [example for place, row in batch if (example := self._example(row, place)) is not None]

    def _example(self, row: Row, place: str) -> Example | None:
        question = text_field(row, "question", place).strip()
        answer = text_field(row, "answer", place)
        if self.format == "gsm8k":
            final_answer(answer, place)
            solution = answer.strip()
        else:
            try:
                solution = get_format(self.format).render(convert(question, answer, place))
            except NotConvertible:
                return None
        return text_example(question, solution, self.format, structure_of_solution(question, answer))

    def notes(self) -> dict[str, int | str]:
        """Rows that convert and rows left out, by reason."""
        if self.format == "gsm8k":
            return {}
        report = conversion_report(self.path)
        return {
            "rows": report.total,
            "converted": report.converted,
            **{f"left out: {reason}": count for reason, count in sorted(report.reasons.items())},
        }


def conversion_report(path: Path) -> Conversion:
    """How many solutions of a GSM8K file convert to the other formats.

    Raises:
        InputError: missing file, broken line or missing field.
    """
    report = Conversion()
    for place, row in _rows(path.expanduser()):
        try:
            convert(text_field(row, "question", place), text_field(row, "answer", place), place)
            report.count(None)
        except NotConvertible as error:
            report.count(str(error))
    return report


@register_task
class Gsm8kTask(BaseTask):
    """GSM8K questions to be solved, in file order.

    Attributes:
        path: the published `train.jsonl` or `test.jsonl`, or the hub's Parquet file.
    """

    kind: Literal["gsm8k"] = "gsm8k"
    path: Path

    def inputs(self) -> tuple[Path, ...]:
        """See `BaseTask.inputs`."""
        return (self.path.expanduser(),)

    def draw(self, *, seed: int, taken: frozenset[str]) -> ProblemSet:
        """See `BaseTask.draw`. The level is the number of annotated computations."""
        return take_problems(
            (self._problem(row, place) for place, row in self.rows()), self.num_problems, taken
        )

    def rows(self) -> Iterator[tuple[str, Row]]:
        """See `BaseTask.rows`."""
        return _rows(self.path.expanduser())

    def question_texts(self, row: Row, place: str) -> tuple[str, ...]:
        """See `BaseTask.question_texts`; the structure comes from the annotations."""
        worked = text_field(row, "answer", place).rpartition("####")[0]
        return text_field(row, "question", place).strip(), worked

    def gold(self, row: Row, place: str) -> str:
        """See `BaseTask.gold`."""
        gold = final_answer(text_field(row, "answer", place), place)
        check_gold("gsm8k", gold, place)
        return gold

    def _problem(self, row: Row, place: str) -> Problem:
        question = text_field(row, "question", place).strip()
        answer = text_field(row, "answer", place)
        return Problem(
            key=text_key(question),
            question=question,
            gold=self.gold(row, place),
            level=len(ANNOTATION.findall(answer)),
            structure=structure_of_solution(question, answer),
            references=References(partial(_references, question, answer, place)),
        )


def _references(question: str, answer: str, place: str) -> dict[str, str]:
    """The published solution and, if it converts, its renderings in the other formats."""
    found = {"gsm8k": answer.strip()}
    with suppress(NotConvertible):
        worked = convert(question, answer, place)
        found |= {name: get_format(name).render(worked) for name in format_names() if name != "gsm8k"}
    return found
