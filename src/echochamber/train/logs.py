"""Append-only JSON lines: metrics (deterministic, part of the resume contract) and timings (not)."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from echochamber.base import EchoError, explained_write, fault_point


@dataclass(frozen=True)
class LogMark:
    """The length of a log at a checkpoint, and the digest of its content up to that point."""

    num_bytes: int
    sha256: str


def _plain(value: Any) -> Any:
    """Replace NaN and infinity, which JSON lacks, by null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


class MetricsLog:
    """One JSON object per line: deterministic values only, so that a resumed run rewrites the same bytes.

    Opening an existing log appends to it; `truncate` goes back to what a checkpoint recorded.

    Raises:
        EchoError: the disk refused (see `explained_write`).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with explained_write(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = path.open("ab", buffering=0)
        self._hash = hashlib.sha256()
        self._size = 0
        self._read_prefix(path.stat().st_size)

    def _read_prefix(self, num_bytes: int) -> None:
        self._hash, self._size = hashlib.sha256(), num_bytes
        with self.path.open("rb") as stream:
            while num_bytes > 0 and (chunk := stream.read(min(num_bytes, 1 << 20))):
                self._hash.update(chunk)
                num_bytes -= len(chunk)

    @property
    def offset(self) -> int:
        """Bytes written so far."""
        return self._size

    def append(self, row: Mapping[str, Any]) -> None:
        """Write one row. NaN and infinities become null."""
        line = (json.dumps(_plain(row), ensure_ascii=False, allow_nan=False) + "\n").encode()
        half = len(line) // 2
        with explained_write(self.path):
            self._write(line[:half])
            fault_point("log.mid_write")
            self._write(line[half:])

    def _write(self, data: bytes) -> None:
        while data:  # a raw write may be partial
            written = self._stream.write(data)
            self._hash.update(data[:written])
            self._size += written
            data = data[written:]

    def mark(self) -> LogMark:
        """Make everything written durable, and return its length."""
        with explained_write(self.path):
            fault_point("log.before_fsync")
            os.fsync(self._stream.fileno())
        return LogMark(self._size, self._hash.hexdigest())

    def truncate(self, offset: int) -> None:
        """Discard everything after the first `offset` bytes.

        Raises:
            EchoError: the log is shorter than that.
        """
        if self.path.stat().st_size < offset:
            raise EchoError(
                f"{self.path} holds {self.path.stat().st_size} bytes, fewer than the {offset} expected"
            )
        with explained_write(self.path):
            fault_point("log.before_truncate")
            self._stream.truncate(offset)
            os.fsync(self._stream.fileno())
        self._read_prefix(offset)

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def disagreement(path: Path, mark: LogMark) -> str:
    """How the log at `path` differs from its state at `mark`; empty if its beginning is intact."""
    size = path.stat().st_size if path.exists() else 0
    if size < mark.num_bytes:
        return f"{path.name} holds {size} bytes, the checkpoint was written after {mark.num_bytes}"
    found = hashlib.sha256()
    with path.open("rb") if size else open(os.devnull, "rb") as stream:  # noqa: PTH123
        found.update(stream.read(mark.num_bytes))
    return (
        ""
        if found.hexdigest() == mark.sha256
        else f"{path.name} was changed after the checkpoint was written"
    )


class TimingLog:
    """Wall-clock rows of a run, including every restart; not part of the resume contract.

    A row holds the `seconds` since the row before it; their sum is the compute time of the stage, including
    repeated work.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with explained_write(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._mend_last_line()
            self._stream = path.open("ab", buffering=0)

    def _mend_last_line(self) -> None:
        if self.path.exists() and not (data := self.path.read_bytes()).endswith(b"\n") and data:
            os.truncate(self.path, data.rfind(b"\n") + 1)

    def append(self, row: Mapping[str, Any]) -> None:
        """Write one row."""
        with explained_write(self.path):
            self._stream.write((json.dumps(_plain(row), allow_nan=False) + "\n").encode())

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def total_seconds(path: Path) -> float:
    """Sum of `seconds` over a timing log; 0 if there is none."""
    if not path.exists():
        return 0.0
    rows = (json.loads(line) for line in path.read_bytes().splitlines())
    return math.fsum(float(row.get("seconds", 0.0)) for row in rows)
