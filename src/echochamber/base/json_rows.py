"""Rows of JSON files: one object per line, one array, or one object after the other."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from echochamber.base.errors import InputError
from echochamber.base.file_bytes import decoded, read_lines, read_pieces

Row = dict[str, Any]


class Numeral(str):
    """A number as written in the file: all its digits, even if a float could not hold them."""

    __slots__ = ()


def _pairs(pairs: list[tuple[str, Any]]) -> Row:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key '{twice}' is given twice")
    return row


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_int=Numeral, parse_float=Numeral)


def _object(value: Any, place: str) -> Row:
    if not isinstance(value, dict):
        kind = "a number" if isinstance(value, Numeral) else type(value).__name__
        raise InputError(f"{place}: expected a JSON object, found {kind}")
    return value


def json_lines(path: Path, start: int) -> Iterator[tuple[str, Row]]:
    """Rows of a file with one JSON object per line, from row `start` on; blank lines are no rows."""
    lines = ((number, line) for number, line in read_lines(path) if not line.isspace())
    for number, line in islice(lines, start, None):
        place = f"{path}:{number}"
        try:
            row = _DECODER.decode(decoded(line, place))
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"{place}: not valid JSON: {error}. Every line must hold one JSON object"
            ) from error
        yield place, _object(row, place)


# Length of the longest token, such as `false`, that cannot be recognized before it is complete.
_LONGEST_LITERAL = 32


class _JsonText:
    """The text of a JSON file, read further whenever a value needs more."""

    def __init__(self, path: Path) -> None:
        self.path, self.pieces = path, read_pieces(path)
        self.decoder = codecs.getincrementaldecoder("utf-8")()
        self.text, self.position, self.ended, self.number = "", 0, False, 0

    def more(self) -> None:
        """Read twice as much as is waiting, so that a long value is not parsed again and again."""
        fresh = [self.text[self.position :]]
        wanted = max(1, len(fresh[0]))
        while wanted > 0 and not self.ended:
            piece = next(self.pieces, b"")
            self.ended = not piece
            try:
                fresh.append(self.decoder.decode(piece, final=self.ended))
            except UnicodeDecodeError as error:
                raise InputError(
                    f"{self.path}, after row {self.number}: not UTF-8 text ({error.reason}); save "
                    "the file as UTF-8"
                ) from error
            wanted -= len(fresh[-1])
        self.text, self.position = "".join(fresh), 0

    def peek(self) -> str:
        """The next character that is not white space; empty at the end of the file."""
        while True:
            while self.position < len(self.text):
                if not self.text[self.position].isspace():
                    return self.text[self.position]
                self.position += 1
            if self.ended:
                return ""
            self.more()

    def _cut_short(self, error: Exception) -> bool:
        """Whether more text may fix the error: it is where the text ends, or in an unfinished string."""
        if not isinstance(error, json.JSONDecodeError):
            return False
        return error.msg.startswith("Unterminated") or error.pos > len(self.text) - _LONGEST_LITERAL

    def value(self) -> Row:
        """The value that begins at the current position."""
        place = f"{self.path}, row {self.number + 1}"
        while True:
            try:
                value, self.position = _DECODER.raw_decode(self.text, self.position)
            except (ValueError, RecursionError) as error:
                if self.ended or not self._cut_short(error):
                    raise InputError(f"{place}: not valid JSON: {error}") from error
                self.more()
                continue
            self.number += 1
            return _object(value, place)


def json_file(path: Path, start: int) -> Iterator[tuple[str, Row]]:
    """Rows of a file that is one JSON array, or one JSON object after the other, as in JSON Lines."""
    text = _JsonText(path)
    is_array = text.peek() == "["
    text.position += is_array
    while (character := text.peek()) and character != "]":
        row = text.value()
        if text.number > start:
            yield f"{path}, row {text.number}", row
        if is_array and text.peek() == ",":
            text.position += 1
            if text.peek() in ("]", ""):
                raise InputError(
                    f"{path}, row {text.number + 1}: not valid JSON: a comma without a row after it"
                )
        elif is_array and text.peek() not in ("]", ""):
            raise InputError(f"{path}, row {text.number + 1}: not valid JSON: no comma before this row")
    if is_array:
        if not character:
            raise InputError(
                f"{path}: the list ends after row {text.number} without ']'; the file is cut short"
            )
        text.position += 1
        character = text.peek()
    if character:
        raise InputError(
            f"{path}, after row {text.number}: not valid JSON: '{character}' where it should end"
        )
