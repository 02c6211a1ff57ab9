"""Local JSONL and Parquet files as sources and as tasks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from pydantic import field_validator

from echochamber.base import InputError, Problem, did_you_mean
from echochamber.corpora.sources import BaseSource, Example, register_source, text_key
from echochamber.corpora.tasks import BaseTask, register_task, take_problems

FILE_CHUNK_ROWS = 1000

Row = dict[str, Any]


def _unreadable(path: Path, reason: str) -> InputError:
    return InputError(f"cannot read {path}: {reason}. Give the path of an existing file")


def read_json_lines(path: Path, start: int = 0) -> Iterator[tuple[int, Row]]:
    """Rows of a JSONL file with their line numbers; empty lines are passed over.

    Args:
        start: rows to skip.

    Raises:
        InputError: missing file, or a line that is not a JSON object, with file and line.
    """
    try:
        with path.open(encoding="utf-8") as stream:
            rows = ((number, line) for number, line in enumerate(stream, 1) if line.strip())
            for number, line in islice(rows, start, None):
                yield number, _parse_line(line, f"{path}:{number}")
    except UnicodeDecodeError as error:
        raise _unreadable(path, f"not UTF-8 text ({error.reason})") from error
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error


def _parse_line(line: str, place: str) -> Row:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise InputError(f"{place}: not valid JSON: {error}. Every line must hold one JSON object") from error
    if not isinstance(row, dict):
        raise InputError(f"{place}: expected a JSON object, found {type(row).__name__}")
    return row


def read_parquet_rows(path: Path, columns: list[str], start: int = 0) -> Iterator[tuple[int, Row]]:
    """Rows of a Parquet file with their numbers from 1, read a batch at a time.

    Raises:
        InputError: missing or damaged file, or a column that it lacks.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            for column in columns:
                if column not in names:
                    raise missing_field(str(path), column, names)
            done = 0
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                if done + rows > start:
                    for batch in file.iter_batches(FILE_CHUNK_ROWS, row_groups=[group], columns=columns):
                        for row in batch.to_pylist():
                            done += 1
                            if done > start:
                                yield done, row
                else:
                    done += rows
    except pa.ArrowInvalid as error:
        raise _unreadable(path, f"not a Parquet file ({error})") from error
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error


def missing_field(place: str, field: str, present: list[str] | tuple[str, ...]) -> InputError:
    """The error for a row or file without a field that the config names."""
    return InputError(
        f"{place}: no field '{field}'; it has {', '.join(map(str, present)) or 'none'}."
        f"{did_you_mean(field, [str(name) for name in present])}"
    )


def text_field(row: Row, field: str, place: str) -> str:
    """A row's field as text; numbers become their decimal form.

    Raises:
        InputError: the field is missing or is neither text nor a number.
    """
    if field not in row:
        raise missing_field(place, field, list(row))
    value = row[field]
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise InputError(f"{place}: field '{field}' is {type(value).__name__}; expected text")
    return str(value)


class FileSource(BaseSource):
    """Documents from files, one row each, in the order of the files.

    Attributes:
        path: a file, or a folder of which every matching file is read in the order of their names.
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
        raise TypeError(f"{type(self).__name__} does not say how to read its rows")

    def example(self, row: Row, place: str) -> Example:
        """The document of one row.

        Raises:
            InputError: a field is missing or empty.
        """
        solution = text_field(row, self.solution, place)
        question = text_field(row, self.question, place) if self.question is not None else None
        key = text_key(question if question is not None else solution)
        return Example(key, question, solution, self.format, True)

    def chunks(self, *, seed: int, excluded: frozenset[str], start: int = 0) -> Iterator[list[Example]]:
        """See `BaseSource.chunks`."""
        rows = self.rows(start * FILE_CHUNK_ROWS)
        while chunk := [self.example(row, place) for place, row in islice(rows, FILE_CHUNK_ROWS)]:
            yield chunk

    @property
    def columns(self) -> list[str]:
        """Fields that a row must have."""
        return [field for field in (self.question, self.solution) if field is not None]


def matching_files(path: Path, pattern: str) -> tuple[Path, ...]:
    """The file itself, or a folder's files that match, sorted by name.

    Raises:
        InputError: nothing is there.
    """
    if path.is_dir():
        files = tuple(sorted(p for p in path.rglob(pattern) if p.is_file()))
        if not files:
            raise InputError(f"{path} holds no {pattern} file; give a file or a folder with such files")
        return files
    if not path.is_file():
        raise _unreadable(path, "No such file or directory")
    return (path,)


@register_source
class JsonlSource(FileSource):
    """Documents from JSONL files."""

    kind: Literal["jsonl"] = "jsonl"

    def inputs(self) -> tuple[Path, ...]:
        """See `BaseSource.inputs`."""
        return matching_files(self.path, "*.jsonl")

    def rows(self, start: int = 0) -> Iterator[tuple[str, Row]]:
        """See `FileSource.rows`."""
        for path in self.inputs():
            count = 0
            for number, row in read_json_lines(path):
                count += 1
                if count > start:
                    yield f"{path}:{number}", row
            start = max(0, start - count)


@register_source
class ParquetSource(FileSource):
    """Documents from Parquet files."""

    kind: Literal["parquet"] = "parquet"

    def inputs(self) -> tuple[Path, ...]:
        """See `BaseSource.inputs`."""
        return matching_files(self.path, "*.parquet")

    def rows(self, start: int = 0) -> Iterator[tuple[str, Row]]:
        """See `FileSource.rows`."""
        import pyarrow.parquet as pq

        for path in self.inputs():
            for number, row in read_parquet_rows(path, self.columns, start):
                yield f"{path}, row {number}", row
            start = max(0, start - pq.read_metadata(path).num_rows) if start else 0


class FileTask(BaseTask):
    """Problems from a file.

    Attributes:
        path: the file.
        question: field of the question.
        answer: field of the gold answer.
        answer_pattern: regular expression whose first group, in its last match, is the gold answer
            inside the field; the whole field if unset.
        benchmark: rules of grading.
        level, family: fields of difficulty and subject, if there are any.
    """

    path: Path
    question: str = "question"
    answer: str = "answer"
    answer_pattern: str | None = None
    benchmark: str = "gsm8k"
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

    def rows(self) -> Iterator[tuple[str, Row]]:
        """Rows with their places."""
        raise TypeError(f"{type(self).__name__} does not say how to read its rows")

    def inputs(self) -> tuple[Path, ...]:
        """See `BaseTask.inputs`."""
        return (self.path,)

    def problem(self, row: Row, place: str) -> Problem:
        """The problem of one row.

        Raises:
            InputError: a field is missing, or the answer does not match.
        """
        question = text_field(row, self.question, place)
        answer = text_field(row, self.answer, place)
        if self.answer_pattern is not None:
            found = re.findall(self.answer_pattern, answer)
            if not found:
                raise InputError(f"{place}: field '{self.answer}' does not match {self.answer_pattern!r}")
            answer = found[-1] if isinstance(found[-1], str) else found[-1][0]
        level = re.sub(r"\D", "", text_field(row, self.level, place)) if self.level else ""
        family = text_field(row, self.family, place) if self.family else ""
        return Problem(
            key=text_key(question), question=question.strip(), gold=answer.strip(), benchmark=self.benchmark,
            level=int(level or 0), family=family,
        )  # fmt: skip

    def draw(self, *, seed: int, taken: frozenset[str]) -> list[Problem]:
        """See `BaseTask.draw`; rows are taken in the order of the file."""
        candidates = (self.problem(row, place) for place, row in self.rows())
        try:
            return take_problems(candidates, self.num_problems, taken)
        except InputError as error:
            raise error if str(self.path) in str(error) else InputError(f"{self.path} {error}") from error


@register_task
class JsonlTask(FileTask):
    """Problems from a JSONL file."""

    kind: Literal["jsonl"] = "jsonl"

    def rows(self) -> Iterator[tuple[str, Row]]:
        """See `FileTask.rows`."""
        for number, row in read_json_lines(self.path):
            yield f"{self.path}:{number}", row


@register_task
class ParquetTask(FileTask):
    """Problems from a Parquet file."""

    kind: Literal["parquet"] = "parquet"

    def rows(self) -> Iterator[tuple[str, Row]]:
        """See `FileTask.rows`."""
        fields = (self.question, self.answer, self.level, self.family)
        columns = [field for field in fields if field is not None]
        for number, row in read_parquet_rows(self.path, columns):
            yield f"{self.path}, row {number}", row
