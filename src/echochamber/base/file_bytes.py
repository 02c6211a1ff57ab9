"""Bytes and lines of data files, decompressed as they are read; every error is one sentence."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from echochamber.base.errors import InputError

_CHUNK_BYTES = 1 << 20

COMPRESSED = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
"""Suffixes of compressed files; they follow the suffix of what is inside."""


def unreadable(path: Path, reason: str) -> InputError:
    """The error for a file that cannot be read."""
    return InputError(f"cannot read {path}: {reason}. Give the path of an existing file")


@contextmanager
def explained_read(path: Path) -> Iterator[None]:
    """Turn errors raised below a reader into one sentence."""
    import pyarrow as pa

    try:
        yield
    except pa.ArrowException as error:
        raise unreadable(path, f"damaged ({first_line(error)})") from error
    except OSError as error:
        raise unreadable(path, error.strerror or f"damaged ({first_line(error)})") from error


def first_line(error: Exception) -> str:
    """The first line of a message; pyarrow's messages may have many."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def read_pieces(path: Path) -> Iterator[bytes]:
    """A file's content in pieces, decompressed by its suffix, without a UTF-8 byte-order mark.

    Raises:
        InputError: missing, damaged or cut short.
    """
    import pyarrow as pa

    codec = COMPRESSED.get(path.suffix.lower())
    with explained_read(path), path.open("rb") as raw:
        if codec is not None and not raw.peek(1):
            return  # Empty: not even the codec's header.
        stream = raw if codec is None else pa.CompressedInputStream(pa.PythonFile(raw, "r"), codec)
        piece = stream.read(_CHUNK_BYTES).removeprefix(codecs.BOM_UTF8)
        while piece:
            yield piece
            piece = stream.read(_CHUNK_BYTES)


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines of a file with their numbers, line ends included."""
    number = 0
    pieces: list[bytes] = []
    for piece in read_pieces(path):
        *whole, rest = piece.split(b"\n")
        for line in whole:
            number += 1
            yield number, b"".join([*pieces, line, b"\n"])
            pieces = []
        if rest:
            pieces.append(rest)
    if pieces:
        yield number + 1, b"".join(pieces)


def decoded(line: bytes, place: str) -> str:
    """The text of a line.

    Raises:
        InputError: not UTF-8.
    """
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise InputError(
            f"{place}: not UTF-8 text: byte {error.start + 1} of the line is 0x{line[error.start]:02x}; save "
            "the file as UTF-8"
        ) from error
