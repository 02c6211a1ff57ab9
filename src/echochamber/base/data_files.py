"""Rows of data files one at a time, whatever the file format, each with its place for messages.

Sources, tasks and `grade` all read files through this module, so that a file means the same to each of them:

- a UTF-8 byte-order mark, Windows line ends and blank lines are skipped wherever they occur;
- a number is read as the text in the file, or as the shortest text of a stored float (a float32 0.1 is
  `0.1`);
- a field that is needed and holds null, NaN, Infinity, half of a surrogate pair or no text is refused, and so
  are invalid UTF-8, a key given twice, a column name that occurs twice, and a row of the wrong width; each
  with file and row.

Files are streamed: memory holds a few thousand rows, never a whole file.
"""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from echochamber.base.errors import InputError, did_you_mean
from echochamber.base.file_bytes import (
    COMPRESSED,
    decoded,
    explained_read,
    first_line,
    read_lines,
    unreadable,
)
from echochamber.base.json_rows import Numeral, Row, json_file, json_lines

BATCH_ROWS = 1000


def missing_field(place: str, field: str, present: Sequence[str]) -> InputError:
    """The error for a row or file that lacks a required field."""
    return InputError(
        f"{place}: no field '{field}'; it has {', '.join(map(str, present)) or 'none'}."
        f"{did_you_mean(field, [str(name) for name in present])}"
    )


def text_field(row: Row, field: str, place: str) -> str:
    """A row's field as text; a number is the text in the file.

    Raises:
        InputError: the field is missing, is neither text nor a number, or cannot be written as UTF-8.
    """
    if field not in row:
        raise missing_field(place, field, list(row))
    value = row[field]
    if isinstance(value, bool) or not isinstance(value, (str, int, float, Decimal)):
        raise InputError(f"{place}: field '{field}' is {type(value).__name__}; expected text")
    if isinstance(value, (float, Decimal)) and not math.isfinite(value):
        raise InputError(f"{place}: field '{field}' is {value}; expected text or a number")
    text = str(value)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            half = text[error.start : error.start + 1].encode("unicode_escape").decode()
            raise InputError(
                f"{place}: field '{field}' holds {half}, half of a surrogate pair, which is not a character; "
                "write the character itself or remove it"
            ) from error
    return text


def _csv_rows(path: Path, columns: Sequence[str], start: int, delimiter: str) -> Iterator[tuple[str, Row]]:
    csv.field_size_limit(sys.maxsize)
    lines = (decoded(line, f"{path}:{number}") for number, line in read_lines(path))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    names: list[str] | None = None
    number = 0
    while True:
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise InputError(
                f"{path}, row {number + 1} (line {reader.line_num}): not valid CSV: {error}"
            ) from error
        if len(values) <= 1 and not "".join(values).strip():
            continue
        if names is None:
            names = values
            _check_columns(path, names, columns)
            continue
        number += 1
        if len(values) != len(names):
            raise InputError(
                f"{path}, row {number} (line {reader.line_num}): {len(values)} fields under {len(names)} "
                "column names; quote fields that hold the separator"
            )
        if number > start:
            yield f"{path}, row {number}", dict(zip(names, values, strict=True))


def _check_columns(path: Path, names: Sequence[str], columns: Sequence[str]) -> None:
    """Every required column is present, and no name occurs twice."""
    for column in columns:
        if column not in names:
            raise missing_field(str(path), column, names)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{path}: the column '{twice[0]}' occurs twice; rename or remove one")


def _parquet_rows(path: Path, columns: Sequence[str], start: int) -> Iterator[tuple[str, Row]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with explained_read(path):
        try:
            file = pq.ParquetFile(path)
        except pa.ArrowInvalid as error:
            raise unreadable(path, f"not a Parquet file ({first_line(error)})") from error
        with file:
            _check_columns(path, file.schema_arrow.names, columns)
            done = 0
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                if done + rows <= start:
                    done += rows
                    continue
                for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], columns=list(columns)):
                    values = [_column(path, done, name, batch.column(name)) for name in columns]
                    for number, row in enumerate(zip(*values, strict=True), done + 1):
                        if number > start:
                            yield f"{path}, row {number}", dict(zip(columns, row, strict=True))
                    done += batch.num_rows


def _column(path: Path, before: int, name: str, column: Any) -> list[Any]:
    """Values of one column for some rows; finite floats as the shortest text that reads back as them."""
    import pyarrow as pa

    if pa.types.is_floating(column.type):
        # numpy knows the fewest digits that identify a float32 or float16; Python knows only float64.
        numbers = column.to_numpy(zero_copy_only=False)
        return [
            None if not valid else Numeral(str(number)) if math.isfinite(number) else float(number)
            for number, valid in zip(numbers, column.is_valid().to_pylist(), strict=True)
        ]
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:
        for number, value in enumerate(column, before + 1):
            try:
                value.as_py()
            except UnicodeDecodeError as error:
                raise InputError(
                    f"{path}, row {number}: field '{name}' is not UTF-8 text ({error.reason}); write it "
                    "as UTF-8"
                ) from error
        raise


KINDS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")


def kind_of(path: Path) -> str:
    """The suffix that says what a file holds, without that of its compression.

    A name without any suffix, such as that of a pipe, is taken for JSON Lines.

    Raises:
        InputError: an unknown suffix.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    compressed = bool(suffixes) and suffixes[-1] in COMPRESSED
    if compressed:
        suffixes.pop()
    kind = suffixes[-1] if suffixes else ".jsonl"
    if kind not in KINDS or (compressed and kind == ".parquet"):
        raise InputError(
            f"{path}: unknown kind of file; expected one of {', '.join(KINDS)}, all but the last also with "
            f"{', '.join(COMPRESSED)} behind it"
        )
    return kind


def read_rows(path: Path, columns: Sequence[str], start: int = 0) -> Iterator[tuple[str, Row]]:
    """Rows of a file from number `start` on, each with its place; the suffix decides the format.

    Args:
        columns: required fields; Parquet reads no others.

    Raises:
        InputError: unknown suffix, missing or damaged file, missing column, invalid row.
    """
    kind = kind_of(path)
    if kind == ".parquet":
        return _parquet_rows(path, tuple(dict.fromkeys(columns)), start)
    if kind in (".csv", ".tsv"):
        return _csv_rows(path, columns, start, "\t" if kind == ".tsv" else ",")
    return (json_file if kind == ".json" else json_lines)(path, start)


def count_rows(path: Path) -> int:
    """Number of rows of a file."""
    import pyarrow.parquet as pq

    if kind_of(path) == ".parquet":
        return int(pq.read_metadata(path).num_rows)
    return sum(1 for _ in read_rows(path, ()))


def read_files(paths: Iterable[Path], columns: Sequence[str], start: int = 0) -> Iterator[tuple[str, Row]]:
    """Rows of several files, one after the other, starting at row `start` of the whole."""
    for path in paths:
        met = 0
        for place, row in read_rows(path, columns, start):
            met += 1
            yield place, row
        if start:
            start = 0 if met else start - count_rows(path)
