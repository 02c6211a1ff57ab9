"""Tokenizes one source into shards, up to a quota, resumable after a kill at any moment."""

from __future__ import annotations

import queue
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from echochamber.base import fault_point, read_json, write_json
from echochamber.corpora.identity import Reserved
from echochamber.corpora.mixtures import Quota
from echochamber.corpora.overlap import Hits, OverlapIndex
from echochamber.corpora.shards import ShardTotals, ShardWriter, token_dtype
from echochamber.corpora.sources import BaseSource, Example, limited_chunks, permitted
from echochamber.corpora.tokenizer import BLANK_LINE, Tokenizer

T = TypeVar("T")

HELDOUT_DOCUMENTS = 128
"""Documents per source that are held out of training to measure the loss on."""

# One key in this many may be held out. The key alone decides, so that a generated problem held out of one
# source is in no other source's training documents.
_HELDOUT_ONE_IN = 32

# Chunks between two saved states; a kill costs the work since the last one.
_CHUNKS_PER_SAVE = 64

# Chunks read ahead while others are tokenized; bounds the memory.
_CHUNKS_AHEAD = 2


@dataclass(slots=True)
class SourceState:
    """The progress of a source: everything needed to continue from its last save.

    Attributes:
        identity: digest of what is being built; a state of another build is not continued.
        chunk, read: chunks and documents read so far.
        done: the source is finished. full: it ended because the quota was reached.
        heldout_keys: keys of the documents held out of a source that reads files.
        written, heldout_written: what has been written to disk.
        formats: training documents by format. wrong: those with a wrong solution.
        left_out: documents that are evaluation problems, by text or by structure; not trained on.
        hits: overlap with each evaluation set.
    """

    identity: str
    chunk: int = 0
    read: int = 0
    done: bool = False
    full: bool = False
    heldout_keys: dict[str, None] = field(default_factory=dict)
    written: ShardTotals = field(default_factory=ShardTotals)
    heldout_written: ShardTotals = field(default_factory=ShardTotals)
    formats: dict[str, int] = field(default_factory=dict)
    wrong: int = 0
    left_out: int = 0
    hits: dict[str, Hits] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path, identity: str) -> SourceState:
        """The saved state of the same build, or a fresh one."""
        if not path.exists():
            return cls(identity)
        saved = read_json(path)
        if saved["identity"] != identity:
            return cls(identity)
        saved["heldout_keys"] = dict.fromkeys(saved["heldout_keys"])
        saved["written"], saved["heldout_written"] = (
            ShardTotals(**saved["written"]),
            ShardTotals(**saved["heldout_written"]),
        )
        saved["hits"] = {name: Hits(*map(set, numbers)) for name, numbers in saved["hits"].items()}
        return cls(**saved)

    def save(self, path: Path) -> None:
        """Write the state, atomically."""
        saved = {name: getattr(self, name) for name in self.__slots__}
        saved["heldout_keys"] = list(self.heldout_keys)
        saved["written"], saved["heldout_written"] = asdict(self.written), asdict(self.heldout_written)
        saved["hits"] = {
            name: [sorted(hits.exact), sorted(hits.partial), sorted(hits.structure)]
            for name, hits in self.hits.items()
        }
        write_json(path, saved)


class SourceBuilder:
    """Tokenizes one source up to its quota.

    Args:
        name: name of the source and of its shards.
        folder: the folder of the shards and the saved state.
        identity: digest of what is being built.
    """

    def __init__(
        self,
        name: str,
        source: BaseSource,
        tokenizer: Tokenizer,
        folder: Path,
        *,
        identity: str,
        overlap: OverlapIndex,
    ) -> None:
        self.name, self.source, self.tokenizer, self.overlap = name, source, tokenizer, overlap
        self.path = folder / f"{name}.progress.json"
        self.state = SourceState.load(self.path, identity)
        self.state.hits = self.state.hits or overlap.empty_hits()
        dtype = token_dtype(tokenizer.vocab_size)
        self._training = ShardWriter(folder, name, dtype, self.state.written)
        self._heldout = ShardWriter(folder, f"{name}.heldout", dtype, self.state.heldout_written)

    def build(self, quota: Quota, *, seed: int, reserved: Reserved, shown: Callable[[int], None]) -> None:
        """Read and tokenize until the quota is reached or the source ends.

        Args:
            quota: the amount to write.
            shown: called with the training tokens written so far, after every chunk.

        Raises:
            InputError: the source cannot be read, or contains too much of an evaluation set.
        """
        state = self.state
        if state.done:
            return
        if state.chunk == 0:
            self._training.clear()
            self._heldout.clear()
        excluded = self.source.excluded(reserved)
        chunks = limited_chunks(self.source, seed=seed, excluded=excluded, start=state.chunk, read=state.read)
        with closing(Ahead(chunks, _CHUNKS_AHEAD)) as ahead:
            for read, chunk in ahead:
                state.full = self._add(chunk, quota, reserved)
                state.chunk, state.read = state.chunk + 1, read
                shown(state.written.tokens)
                if state.full:
                    break
                if state.chunk % _CHUNKS_PER_SAVE == 0:
                    self._refuse_leaks()
                    self._save()
        self._refuse_leaks()
        state.done = True
        self._save()
        self._training.close()
        self._heldout.close()

    def _refuse_leaks(self) -> None:
        self.overlap.refuse_leaks(f"the source '{self.name}'", self.state.hits)

    def _save(self) -> None:
        self._training.sync()
        self._heldout.sync()
        self.state.save(self.path)
        fault_point("mixture.after_save")

    def _add(self, chunk: Sequence[Example], quota: Quota, reserved: Reserved) -> bool:
        """Append a chunk's documents; True once the quota is reached."""
        training: list[Example] = []
        heldout: list[Example] = []
        barred: list[Example] = []
        for example in chunk:
            if not permitted(self.source, example, reserved):
                barred.append(example)
                continue
            (heldout if self._hold_out(example.key) else training).append(example)
        if self.source.endless:
            heldout = heldout[: HELDOUT_DOCUMENTS - self.state.heldout_written.documents]
        self._heldout.append(encode_documents(self.tokenizer, heldout))
        documents = encode_documents(self.tokenizer, training)
        count = len(documents)
        if quota.amount is not None:
            # Stop here even if a later, shorter document would fit: a quota is a prefix, so that quotas nest.
            room, count = quota.amount - quota.of(self.state.written), 0
            while count < len(documents) and (size := quota.size(documents[count])) <= room:
                room -= size
                count += 1
        self._training.append(documents[:count])
        self.state.left_out += len(barred)
        self.overlap.scan(
            [*barred, *heldout, *training[:count]], self.state.hits, generated=self.source.endless
        )
        for example in training[:count]:
            label = example.format or "text"
            self.state.formats[label] = self.state.formats.get(label, 0) + 1
            self.state.wrong += not example.correct
        return count < len(documents) or quota.of(self.state.written) == quota.amount

    def _hold_out(self, key: str) -> bool:
        if zlib.crc32(key.encode()) % _HELDOUT_ONE_IN:
            return False
        keys = self.state.heldout_keys
        if self.source.endless or key in keys:
            return True
        if len(keys) < HELDOUT_DOCUMENTS:
            keys[key] = None
            return True
        return False


def encode_documents(tokenizer: Tokenizer, examples: Sequence[Example]) -> list[list[int]]:
    """Ids of question, blank line, solution, end of text; raw text has the last two only."""
    asked = [example.question for example in examples if example.question is not None]
    ids = tokenizer.encode_texts(
        [question.rstrip() + BLANK_LINE for question in asked] + [example.solution for example in examples]
    )
    prompts, solutions = iter(ids[: len(asked)]), ids[len(asked) :]
    end = [tokenizer.eos_id]
    return [
        (next(prompts) if example.question is not None else []) + solution + end
        for example, solution in zip(examples, solutions, strict=True)
    ]


class Ahead(Generic[T]):
    """Iterates over `items` while a thread already fetches the next ones.

    Reading and generating hold the interpreter's lock, tokenizing does not, so the two overlap. `close` ends
    the thread.

    Args:
        depth: the most items that may wait.
    """

    def __init__(self, items: Iterator[T], depth: int) -> None:
        self._queue: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(depth)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._fetch, args=(items,), daemon=True)
        self._thread.start()

    def _put(self, item: T | None, error: BaseException | None) -> bool:
        while not self._stopped.is_set():
            try:
                self._queue.put((item, error), timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def _fetch(self, items: Iterator[T]) -> None:
        try:
            for item in items:
                if not self._put(item, None):
                    return
            self._put(None, StopIteration())
        except BaseException as error:  # noqa: BLE001 - raised again where the items are used
            self._put(None, error)

    def __iter__(self) -> Iterator[T]:
        while True:
            item, error = self._queue.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item  # type: ignore[misc]

    def close(self) -> None:
        """Stop fetching and wait for the thread."""
        self._stopped.set()
        self._thread.join()
