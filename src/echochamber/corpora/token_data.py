"""Training batches from token shards: which tokens a batch holds is a function of (seed, step).

B sequences, T predicted tokens. Documents of all sources are shuffled
together and joined into one stream; sequence i predicts the stream's tokens
i * T + 1 to (i + 1) * T. Each further epoch is shuffled again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echochamber.base import EchoError, InputError, derive_seed
from echochamber.corpora.build import require_finished
from echochamber.corpora.shards import Tokens, open_shards


class _Documents:
    """The documents of one source over all its shards, by number."""

    def __init__(self, shards: list[tuple[Tokens, NDArray[np.uint64]]]) -> None:
        self.shards = shards
        self.first = np.cumsum([0, *(len(ends) for _, ends in shards)])
        lengths = [np.diff(ends, prepend=np.uint64(0)).astype(np.uint32) for _, ends in shards]
        self.lengths = np.concatenate(lengths) if lengths else np.empty(0, np.uint32)

    def __len__(self) -> int:
        return len(self.lengths)

    def document(self, index: int) -> Tokens:
        """Token ids of one document."""
        shard = int(np.searchsorted(self.first, index, side="right")) - 1
        tokens, ends = self.shards[shard]
        within = index - int(self.first[shard])
        return tokens[int(ends[within - 1]) if within else 0 : int(ends[within])]


def _repeats(count: int, passes: float) -> NDArray[np.uint32]:
    """Document numbers in `passes` passes; a fraction reads the first part."""
    whole, part = int(passes), passes - int(passes)
    once = np.arange(count, dtype=np.uint32)
    return np.concatenate([once] * whole + [once[: round(count * part)]])


class TokenData:
    """A finished mixture on disk.

    Args:
        folder: a folder written by `build_mixture`.
        verify: compare the digest of every shard, not only its size.

    Attributes:
        sources: names of the sources, in the mixture's order.
        num_tokens: training tokens of one epoch, passes included.
        manifest: what the mixture holds.

    Raises:
        EchoError: unfinished, missing or damaged.
    """

    def __init__(self, folder: Path, *, verify: bool = True) -> None:
        self.folder = folder
        self.manifest: dict[str, Any] = require_finished(folder)
        dtype = np.dtype(self.manifest["dtype"])
        self.sources: tuple[str, ...] = tuple(self.manifest["order"])
        self._training: list[_Documents] = []
        self._heldout: dict[str, _Documents] = {}
        numbers = []
        for name in self.sources:
            row = self.manifest["sources"][name]
            documents = _Documents(open_shards(folder, row["shards"], dtype, verify=verify))
            heldout = open_shards(folder, row["heldout"]["shards"], dtype, verify=verify)
            if len(documents) != row["documents"]:
                raise EchoError(
                    f"{folder}: '{name}' has {len(documents)} documents, its manifest says {row['documents']}"
                )
            self._heldout[name] = _Documents(heldout)
            self._training.append(documents)
            numbers.append(_repeats(len(documents), row["passes"]))
        # A document of an epoch is (source, number). With the order of an epoch and the ends of its
        # documents in the stream that is 26 bytes per document, for tens of millions of them.
        self._source = np.concatenate([np.full(len(n), i, np.uint16) for i, n in enumerate(numbers)])
        self._number = np.concatenate(numbers)
        self._length = np.concatenate([d.lengths[n] for d, n in zip(self._training, numbers, strict=True)])
        self.num_tokens = int(self._length.sum())
        self._order_key: tuple[int, int] | None = None
        self._order = np.empty(0, np.uint32)
        self._ends = np.empty(0, np.int64)

    def steps(self, batch_size: int, sequence_length: int) -> int:
        """Full batches in one epoch.

        Raises:
            InputError: the mixture is smaller than one batch.
        """
        steps = (self.num_tokens - 1) // (batch_size * sequence_length)
        if steps < 1:
            raise InputError(
                f"the mixture holds {self.num_tokens:,} tokens, less than one batch of "
                f"{batch_size} x {sequence_length}; raise its tokens or lower the batch"
            )
        return steps

    def batch(self, step: int, *, batch_size: int, sequence_length: int, seed: int) -> NDArray[np.int64]:
        """Tokens (batch_size, sequence_length + 1) of one step; neighbors overlap by one token.

        Steps beyond one epoch continue in the next epoch's order.
        """
        epoch, within = divmod(step, self.steps(batch_size, sequence_length))
        self._shuffle(seed, epoch)
        batch = np.empty((batch_size, sequence_length + 1), np.int64)
        for row in range(batch_size):
            begin = (within * batch_size + row) * sequence_length
            self._fill(batch[row], begin)
        return batch

    def _shuffle(self, seed: int, epoch: int) -> None:
        if self._order_key == (seed, epoch):
            return
        rng = np.random.Generator(np.random.PCG64(derive_seed(seed, "batches", epoch)))
        self._order = rng.permutation(len(self._length)).astype(np.uint32)
        self._ends = np.cumsum(self._length[self._order], dtype=np.int64)
        self._order_key = (seed, epoch)

    def _fill(self, row: NDArray[np.int64], begin: int) -> None:
        """Copy the stream's tokens from position `begin` on into a row."""
        place = int(np.searchsorted(self._ends, begin, side="right"))
        skip = begin - (int(self._ends[place - 1]) if place else 0)
        filled = 0
        while filled < len(row):
            index = self._order[place]
            document = self._training[self._source[index]].document(int(self._number[index]))
            part = document[skip : skip + len(row) - filled]
            row[filled : filled + len(part)] = part
            filled += len(part)
            place, skip = place + 1, 0

    def heldout(self, source: str) -> list[Tokens]:
        """Held-out documents of a source, which no batch contains.

        Raises:
            InputError: the mixture has no such source.
        """
        if source not in self._heldout:
            raise InputError(f"the mixture has no source '{source}'; it has {', '.join(self.sources)}")
        documents = self._heldout[source]
        return [documents.document(index) for index in range(len(documents))]
