"""Local files (JSONL, JSON, CSV, Parquet) as sources and as tasks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from pydantic import field_validator

from echochamber.base import InputError, Problem, Row, read_files, text_field
from echochamber.base.file_bytes import COMPRESSED, unreadable
from echochamber.corpora.identity import text_key
from echochamber.corpora.sources import BaseSource, Example, register_source, text_example
from echochamber.corpora.tasks import BaseTask, ProblemSet, check_gold, register_task, take_problems

FILE_CHUNK_ROWS = 1000
_MOST_LEVEL_DIGITS = 9


def document_of(row: Row, place: str, question: str | None, solution: str, format: str | None) -> Example:
    """The document of one row.

    Args:
        question: field of the question; None for raw text.
        solution: field of the solution or of the raw text.
        format: label of the solution's format.

    Raises:
        InputError: a field is missing or not text.
    """
    answer = text_field(row, solution, place)
    asked = text_field(row, question, place) if question is not None else None
    return text_example(asked, answer, format)


@dataclass(frozen=True)
class ProblemFields:
    """The fields of a row that make up a problem; attributes as in `FileTask`."""

    question: str
    answer: str
    answer_pattern: str | None
    rules: str
    level: str | None
    family: str | None

    @property
    def names(self) -> list[str]:
        """Fields that a row must have."""
        fields = (self.question, self.answer, self.level, self.family)
        return [field for field in fields if field is not None]

    def asked(self, row: Row, place: str) -> str:
        """The question of a row.

        Raises:
            InputError: the field is missing or not text.
        """
        return text_field(row, self.question, place).strip()

    def gold(self, row: Row, place: str) -> str:
        """The gold answer of a row.

        Raises:
            InputError: the field is missing, does not match, or cannot be graded.
        """
        gold = text_field(row, self.answer, place)
        if self.answer_pattern is not None:
            found = re.findall(self.answer_pattern, gold)
            if not found:
                raise InputError(f"{place}: field '{self.answer}' does not match {self.answer_pattern!r}")
            gold = found[-1] if isinstance(found[-1], str) else found[-1][0]
        gold = gold.strip()
        check_gold(self.rules, gold, place)
        return gold

    def problem(self, row: Row, place: str) -> Problem:
        """The problem of a row.

        Raises:
            InputError: a field is missing, or the gold answer cannot be graded.
        """
        asked = self.asked(row, place)
        digits = re.sub(r"\D", "", text_field(row, self.level, place)) if self.level else ""
        return Problem(
            key=text_key(asked),
            question=asked,
            gold=self.gold(row, place),
            rules=self.rules,
            level=int(digits[:_MOST_LEVEL_DIGITS] or 0),
            family=text_field(row, self.family, place) if self.family else "",
        )


class RowTask(BaseTask):
    """A task whose problems are rows of files."""

    def fields(self) -> ProblemFields:
        """The fields that make up a problem."""
        raise TypeError(f"{type(self).__name__} does not say which fields make a problem")

    def rows(self) -> Iterator[tuple[str, Row]]:
        """See `BaseTask.rows`."""
        return read_files(self.inputs(), self.fields().names)

    def question_texts(self, row: Row, place: str) -> tuple[str, ...]:
        """See `BaseTask.question_texts`."""
        return (self.fields().asked(row, place),)

    def gold(self, row: Row, place: str) -> str:
        """See `BaseTask.gold`."""
        return self.fields().gold(row, place)

    def draw(self, *, seed: int, taken: frozenset[str]) -> ProblemSet:
        """See `BaseTask.draw`; rows are taken in the order of the files."""
        fields = self.fields()
        return take_problems(
            (fields.problem(row, place) for place, row in self.rows()), self.num_problems, taken
        )


class FileSource(BaseSource):
    """Documents from files, one per row, in the order of the files.

    Attributes:
        path: a file, or a folder whose matching files are all read in order of their names.
        question: field of the question; unset for raw text.
        solution: field of the solution or of the raw text.
        format: label of the solutions' format, if they all share one.
    """

    path: Path
    question: str | None = "question"
    solution: str = "solution"
    format: str | None = None

    def rows(self, start: int = 0) -> Iterator[tuple[str, Row]]:
        """Rows from number `start` on, each with its place for messages."""
        return read_files(self.inputs(), self.columns, start)

    def chunks(self, *, seed: int, excluded: frozenset[str], start: int = 0) -> Iterator[list[Example]]:
        """See `BaseSource.chunks`."""
        rows = self.rows(start * FILE_CHUNK_ROWS)
        while chunk := [
            document_of(row, place, self.question, self.solution, self.format)
            for place, row in islice(rows, FILE_CHUNK_ROWS)
        ]:
            yield chunk

    @property
    def columns(self) -> list[str]:
        """Fields that a row must have."""
        return [field for field in (self.question, self.solution) if field is not None]


def matching_files(path: Path, patterns: Sequence[str]) -> tuple[Path, ...]:
    """The file itself, or the matching files of a folder, sorted by name.

    Raises:
        InputError: nothing is there.
    """
    if path.is_dir():
        files = tuple(sorted({p for pattern in patterns for p in path.rglob(pattern) if p.is_file()}))
        if not files:
            raise InputError(
                f"{path} holds no {' or '.join(patterns)} file; give a file or a folder with such files"
            )
        return files
    if not path.is_file():
        raise unreadable(path, "No such file or directory")
    return (path,)


@register_source
class JsonlSource(FileSource):
    """Documents from JSONL files, compressed or not."""

    kind: Literal["jsonl"] = "jsonl"

    def inputs(self) -> tuple[Path, ...]:
        """See `BaseSource.inputs`."""
        return matching_files(
            self.path.expanduser(), tuple(f"*.jsonl{ending}" for ending in ("", *COMPRESSED))
        )


@register_source
class ParquetSource(FileSource):
    """Documents from Parquet files."""

    kind: Literal["parquet"] = "parquet"

    def inputs(self) -> tuple[Path, ...]:
        """See `BaseSource.inputs`."""
        return matching_files(self.path.expanduser(), ("*.parquet",))


class FileTask(RowTask):
    """Problems from a file.

    Attributes:
        path: the file.
        question: field of the question.
        answer: field of the gold answer.
        answer_pattern: regular expression whose first group, in its last match, is the gold answer in the
            field; if unset, the whole field is the answer.
        rules: how answers are compared with the gold answer.
        level, family: fields of difficulty and subject, if there are any.
    """

    path: Path
    question: str = "question"
    answer: str = "answer"
    answer_pattern: str | None = None
    rules: str = "gsm8k"
    level: str | None = None
    family: str | None = None

    @field_validator("answer_pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        try:
            groups = re.compile(pattern or "()").groups
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        if groups < 1:
            raise ValueError("expected a regular expression with one group, e.g. '#### (.+)'")
        return pattern

    def fields(self) -> ProblemFields:
        """See `RowTask.fields`."""
        return ProblemFields(
            self.question, self.answer, self.answer_pattern, self.rules, self.level, self.family
        )

    def inputs(self) -> tuple[Path, ...]:
        """See `BaseTask.inputs`."""
        return (self.path.expanduser(),)

    def draw(self, *, seed: int, taken: frozenset[str]) -> ProblemSet:
        """See `BaseTask.draw`; rows are taken in the order of the file."""
        try:
            return super().draw(seed=seed, taken=taken)
        except InputError as error:
            raise error if str(self.path) in str(error) else InputError(f"{self.path} {error}") from error


@register_task
class JsonlTask(FileTask):
    """Problems from a JSONL file."""

    kind: Literal["jsonl"] = "jsonl"


@register_task
class ParquetTask(FileTask):
    """Problems from a Parquet file."""

    kind: Literal["parquet"] = "parquet"
