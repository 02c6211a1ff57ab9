"""Token shards: a `.ds` file of token ids and an `.ends` file of document ends (uint64) beside it.

Little-endian; ids are uint16 where the vocabulary fits, else uint32. Ends
count tokens from the start of the shard. The manifest, written last, holds
the size and SHA-256 of every file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from echochamber.base import EchoError, digest_file, explained_write, fault_point, read_json

MANIFEST = "manifest.json"
LAYOUT_VERSION = 1

SHARD_TOKENS = 64 * 1024 * 1024
"""A shard is closed once it holds this many tokens."""

Tokens = NDArray[np.uint16] | NDArray[np.uint32]


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    """The smallest type that holds every id."""
    return np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")


@dataclass(slots=True)
class ShardTotals:
    """How much of a stream of shards is on disk.

    Attributes:
        full_shards: shards that are closed.
        shard_tokens, shard_documents: in the open shard.
        tokens, documents: in all shards.
    """

    full_shards: int = 0
    shard_tokens: int = 0
    shard_documents: int = 0
    tokens: int = 0
    documents: int = 0


class ShardWriter:
    """Appends documents to numbered shards; anything beyond `written` after a kill is cut off.

    Args:
        folder: the folder of the shards.
        name: shards are named `<name>-00000.ds`, and so on.
        dtype: type of the token ids.
        written: what an earlier process wrote up to its last `sync`.
    """

    def __init__(
        self, folder: Path, name: str, dtype: np.dtype[Any], written: ShardTotals | None = None
    ) -> None:
        self.folder, self.name, self.dtype = folder, name, dtype
        self.written = written or ShardTotals()
        self._streams: tuple[BinaryIO, BinaryIO] | None = None

    def paths(self, shard: int) -> tuple[Path, Path]:
        """Token and document-end file of a shard."""
        stem = f"{self.name}-{shard:05d}"
        return self.folder / f"{stem}.ds", self.folder / f"{stem}.ends"

    def _open(self) -> tuple[BinaryIO, BinaryIO]:
        if self._streams is None:
            sizes = (self.written.shard_tokens * self.dtype.itemsize, self.written.shard_documents * 8)
            streams = []
            for path, size in zip(self.paths(self.written.full_shards), sizes, strict=True):
                with explained_write(path):
                    stream = path.open("r+b" if path.exists() else "w+b")
                    stream.truncate(size)
                    stream.seek(size)
                streams.append(stream)
            self._streams = (streams[0], streams[1])
        return self._streams

    def clear(self) -> None:
        """Remove files that an earlier build under this name left in the folder."""
        for path in sorted(self.folder.glob(f"{self.name}-[0-9]*.*")):
            path.unlink()

    def append(self, documents: Sequence[Sequence[int]]) -> None:
        """Append documents; they count once `sync` has returned.

        Raises:
            EchoError: the disk refused.
        """
        begin = 0
        while begin < len(documents):
            room = SHARD_TOKENS - self.written.shard_tokens
            end, size = begin, 0
            while end < len(documents) and size < room:
                size += len(documents[end])
                end += 1
            self._write(documents[begin:end], size)
            begin = end
            if self.written.shard_tokens >= SHARD_TOKENS:
                self.sync()
                self.close()
                self.written.full_shards += 1
                self.written.shard_tokens = self.written.shard_documents = 0

    def _write(self, documents: Sequence[Sequence[int]], size: int) -> None:
        tokens, ends = self._open()
        flat = np.fromiter((i for document in documents for i in document), dtype=self.dtype, count=size)
        lengths = np.fromiter(
            (len(document) for document in documents), dtype=np.uint64, count=len(documents)
        )
        with explained_write(self.paths(self.written.full_shards)[0]):
            tokens.write(flat.tobytes())
            fault_point("shard.mid_write")
            ends.write((np.cumsum(lengths) + np.uint64(self.written.shard_tokens)).astype("<u8").tobytes())
        for counter in ("shard_tokens", "tokens"):
            setattr(self.written, counter, getattr(self.written, counter) + size)
        for counter in ("shard_documents", "documents"):
            setattr(self.written, counter, getattr(self.written, counter) + len(documents))

    def sync(self) -> None:
        """Make everything appended so far durable."""
        with explained_write(self.paths(self.written.full_shards)[0]):
            for stream in self._open():
                stream.flush()
                os.fsync(stream.fileno())
        fault_point("shard.after_sync")

    def close(self) -> None:
        """Close the files."""
        for stream in self._streams or ():
            stream.close()
        self._streams = None


def describe_shards(folder: Path, name: str) -> list[dict[str, Any]]:
    """Manifest entries of all shards of that name: file names, sizes in bytes, digests."""
    entries = []
    for path in sorted(folder.glob(f"{name}-[0-9][0-9][0-9][0-9][0-9].ds")):
        ends = path.with_suffix(".ends")
        entries.append(
            {
                "tokens": path.name,
                "ends": ends.name,
                "bytes": [path.stat().st_size, ends.stat().st_size],
                "sha256": [digest_file(path), digest_file(ends)],
            }
        )
    return entries


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a mixture.

    Raises:
        EchoError: missing, damaged, or of another layout.
    """
    manifest = read_json(folder / MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("layout") != LAYOUT_VERSION:
        raise EchoError(
            f"{folder / MANIFEST} is not a token manifest of layout {LAYOUT_VERSION}; build the mixture again"
        )
    return manifest


def open_shards(
    folder: Path, entries: Sequence[dict[str, Any]], dtype: np.dtype[Any], *, verify: bool
) -> list[tuple[Tokens, NDArray[np.uint64]]]:
    """Memory-mapped (tokens, document ends) of each shard.

    Args:
        verify: also compare the digests; sizes are always compared.

    Raises:
        EchoError: a file is missing, has another size, or its content changed.
    """
    shards = []
    for entry in entries:
        for name, size, sha256 in zip(
            (entry["tokens"], entry["ends"]), entry["bytes"], entry["sha256"], strict=True
        ):
            path = folder / name
            if not path.is_file():
                raise EchoError(f"{path} is missing; build the mixture again")
            found = path.stat().st_size
            if found != size:
                raise EchoError(
                    f"{path} is damaged: {found} bytes instead of {size}; build the mixture again"
                )
            if verify and digest_file(path) != sha256:
                raise EchoError(
                    f"{path} is damaged: its SHA-256 is not the manifest's; build the mixture again"
                )
        tokens = _map(folder / entry["tokens"], dtype)
        ends = _map(folder / entry["ends"], np.dtype("<u8"))
        if len(ends) and int(ends[-1]) != len(tokens):
            raise EchoError(f"{folder / entry['ends']} does not fit its tokens; build the mixture again")
        shards.append((tokens, ends))
    return shards


def _map(path: Path, dtype: np.dtype[Any]) -> NDArray[Any]:
    if path.stat().st_size == 0:
        return np.empty(0, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r")
