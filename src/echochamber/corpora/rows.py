"""Rows of data files one at a time, whatever the file format, with a place for every message."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from echochamber.base import InputError, did_you_mean

BATCH_ROWS = 1000
_JSON_CHARACTERS = 1 << 20

Row = dict[str, Any]


def unreadable(path: Path, reason: str) -> InputError:
    """The error for a file that cannot be read."""
    return InputError(f"cannot read {path}: {reason}. Give the path of an existing file")


def missing_field(place: str, field: str, present: Sequence[str]) -> InputError:
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


@contextmanager
def _open_text(path: Path) -> Iterator[TextIO]:
    """A text file, decompressed by its suffix (.gz, .zst).

    Raises:
        InputError: missing, not UTF-8, or damaged.
    """
    import pyarrow as pa

    codec = {".gz": "gzip", ".zst": "zstd"}.get(path.suffix)
    try:
        if codec is None:
            with path.open(encoding="utf-8", newline="") as stream:
                yield stream
        else:
            with pa.OSFile(str(path)) as raw, pa.CompressedInputStream(raw, codec) as stream:
                yield TextIOWrapper(stream, encoding="utf-8", newline="")
    except UnicodeDecodeError as error:
        raise unreadable(path, f"not UTF-8 text ({error.reason})") from error
    except pa.ArrowInvalid as error:
        raise unreadable(path, f"damaged ({error})") from error
    except OSError as error:
        raise unreadable(path, error.strerror or str(error)) from error


def _parse_line(line: str, place: str) -> Row:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise InputError(f"{place}: not valid JSON: {error}. Every line must hold one JSON object") from error
    return _checked(row, place)


def _checked(row: Any, place: str) -> Row:
    if not isinstance(row, dict):
        raise InputError(f"{place}: expected a JSON object, found {type(row).__name__}")
    return row


def read_json_lines(path: Path, start: int = 0) -> Iterator[tuple[int, Row]]:
    """Rows of a JSONL file (.gz and .zst too) with their line numbers; empty lines are passed over.

    Args:
        start: rows to skip; they are not parsed.

    Raises:
        InputError: missing file, or a line that is not a JSON object, with file and line.
    """
    with _open_text(path) as stream:
        rows = ((number, line) for number, line in enumerate(stream, 1) if not line.isspace())
        for number, line in islice(rows, start, None):
            yield number, _parse_line(line, f"{path}:{number}")


def _json_array(path: Path) -> Iterator[tuple[int, Row]]:
    """Objects of a file that is one JSON array, without holding the file in memory."""
    decoder = json.JSONDecoder()
    number, position, text = 0, 0, ""
    with _open_text(path) as stream:
        ended = False
        while True:
            while position < len(text) and (text[position].isspace() or text[position] in ",["):
                position += 1
            if position < len(text) and text[position] == "]":
                return
            try:
                row, after = decoder.raw_decode(text, position)
            except ValueError as error:
                if ended:
                    raise InputError(f"{path}, row {number + 1}: not valid JSON: {error}") from error
                more = stream.read(_JSON_CHARACTERS)
                text, position, ended = text[position:] + more, 0, not more
                continue
            number, position = number + 1, after
            yield number, _checked(row, f"{path}, row {number}")


def _csv_rows(path: Path) -> Iterator[tuple[int, Row]]:
    with _open_text(path) as stream:
        for number, row in enumerate(csv.DictReader(stream), 1):
            yield number, dict(row)


def _parquet_rows(path: Path, columns: Sequence[str], start: int) -> Iterator[tuple[int, Row]]:
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
                if done + rows <= start:
                    done += rows
                    continue
                for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], columns=list(columns)):
                    for row in batch.to_pylist():
                        done += 1
                        if done > start:
                            yield done, row
    except pa.ArrowInvalid as error:
        raise unreadable(path, f"not a Parquet file ({error})") from error
    except OSError as error:
        raise unreadable(path, error.strerror or str(error)) from error


SUFFIXES = (".parquet", ".jsonl", ".jsonl.gz", ".jsonl.zst", ".json", ".csv")


def read_rows(path: Path, columns: Sequence[str], start: int = 0) -> Iterator[tuple[str, Row]]:
    """Rows of a file from number `start` on, each with its place; the suffix decides the format.

    Args:
        columns: fields that are needed; Parquet reads no others.

    Raises:
        InputError: unknown suffix, missing or damaged file, missing column.
    """
    name = path.name.lower()
    if name.endswith(".parquet"):
        rows, label = _parquet_rows(path, columns, start), ", row "
    elif name.endswith((".jsonl", ".jsonl.gz", ".jsonl.zst")):
        rows, label = read_json_lines(path, start), ":"
    elif name.endswith(".json"):
        rows, label = islice(_json_array(path), start, None), ", row "
    elif name.endswith(".csv"):
        rows, label = islice(_csv_rows(path), start, None), ", row "
    else:
        raise InputError(f"{path}: unknown kind of file; expected one of {', '.join(SUFFIXES)}")
    for number, row in rows:
        yield f"{path}{label}{number}", row


def count_rows(path: Path) -> int:
    """Number of rows of a file."""
    import pyarrow.parquet as pq

    if path.name.endswith(".parquet"):
        return int(pq.read_metadata(path).num_rows)
    return sum(1 for _ in read_rows(path, ()))


def read_files(paths: Iterable[Path], columns: Sequence[str], start: int = 0) -> Iterator[tuple[str, Row]]:
    """Rows of several files, one after the other, from row `start` of all on."""
    for path in paths:
        met = 0
        for place, row in read_rows(path, columns, start):
            met += 1
            yield place, row
        if start:
            start = 0 if met else start - count_rows(path)
