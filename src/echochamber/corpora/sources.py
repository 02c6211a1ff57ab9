"""What a source of training documents is, and the registry of kinds."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from echochamber.base import Config, InputError, Registry, Variants, digest_file, tag_of
from echochamber.corpora.identity import NOTHING_RESERVED, Reserved, text_key


@dataclass(frozen=True, slots=True)
class Example:
    """One training document before tokenization.

    Attributes:
        key: identity of the question or of the raw text: the structure of a generated question, `text_key`
            otherwise.
        question: what the model is asked; None for raw text.
        solution: what it learns to answer, or the whole raw text.
        format: answer format of the solution, if the source knows it.
        correct: False for a solution that is wrong on purpose or known to be.
        structure: operations and numbers of the correct solution, empty if unknown.
    """

    key: str
    question: str | None
    solution: str
    format: str | None
    correct: bool
    structure: str = ""


def text_example(question: str | None, solution: str, format: str | None, structure: str = "") -> Example:
    """The document of a human-written question, or of raw text."""
    return Example(
        text_key(solution if question is None else question), question, solution, format, True, structure
    )


class BaseSource(Config):
    """A stream of documents in a fixed order.

    A new kind subclasses this, adds `kind: Literal["name"] = "name"` and its options, and registers with
    `register_source`.

    Attributes:
        documents: the most documents to read; all of them if unset.
    """

    endless: ClassVar[bool] = False
    """Whether the kind generates documents without end."""

    documents: int | None = Field(default=None, ge=1)

    @property
    def is_endless(self) -> bool:
        """Whether the stream never ends."""
        return self.endless and self.documents is None

    @property
    def is_local(self) -> bool:
        """Whether its documents can be read without a connection."""
        return True

    @abstractmethod
    def chunks(self, *, seed: int, excluded: frozenset[str], start: int = 0) -> Iterator[list[Example]]:
        """Documents in order, in chunks, from chunk `start` on.

        Chunk i depends on the config, the seed, the excluded keys and i only,
        so that work on a source can stop and resume at any chunk.

        Args:
            seed: seed of this source; sources of different names get unrelated seeds.
            excluded: identities that are reserved. Generated sources never yield them; sources that read
                files need not check, because the code that trains on their documents does (see `permitted`).
        """

    def inputs(self) -> tuple[Path, ...]:
        """Files that the documents come from; their digests enter stage keys and manifests."""
        return ()

    def local_files(self) -> tuple[Path, ...]:
        """Files on this machine that hold the data; none if it is elsewhere."""
        return self.inputs()

    def fingerprint(self) -> dict[str, str]:
        """What identifies the data behind the config when a run is planned: SHA-256 by name of every file.

        Needs no connection.

        Raises:
            InputError: a file cannot be read.
        """
        return digest_files(self.inputs())

    def snapshot(self) -> dict[str, str]:
        """What identifies the data exactly when it is read; differs from `fingerprint` for data elsewhere.

        Raises:
            InputError: the data is unavailable.
        """
        return self.fingerprint()

    def estimated_tokens(self) -> int | None:
        """Tokens of one pass, by a rule of thumb that needs no reading; None if there is no rule.

        The rule is the size of the files over 3.2 bytes per token, roughly what BPE with single digits
        reaches on mathematical text.
        """
        try:
            paths = self.inputs()
            return round(sum(path.stat().st_size for path in paths) / 3.2) if paths else None
        except OSError:
            return None

    def planned_tokens(self) -> int | None:
        """`estimated_tokens`, bounded by `documents` at a generous thousand tokens each."""
        tokens = self.estimated_tokens()
        if tokens is None or self.documents is None:
            return tokens
        return min(tokens, 1000 * self.documents)

    def check_left(self, excluded: frozenset[str]) -> None:
        """Before any work, refuse a generated source whose documents are all or nearly all reserved.

        Raises:
            InputError: states how many exist, are reserved and are left.
        """

    def excluded(self, reserved: Reserved) -> frozenset[str]:
        """What this source must not yield."""
        return reserved.from_generators if self.endless else reserved.from_files

    def notes(self) -> dict[str, int | str]:
        """What a manifest should record about the source beyond its config, e.g. rows left out and why."""
        return {}


def digest_files(paths: Iterable[Path]) -> dict[str, str]:
    """SHA-256 by name of files.

    Raises:
        InputError: one cannot be read.
    """
    digests: dict[str, str] = {}
    for path in paths:
        try:
            digests[path.name if path.name not in digests else str(path)] = digest_file(path)
        except OSError as error:
            raise InputError(
                f"cannot read {path}: {error.strerror}. Give the path of an existing file"
            ) from error
    return digests


SOURCES: Registry[type[BaseSource]] = Registry(
    "source kind",
    modules=(
        "echochamber.corpora.arithmetic",
        "echochamber.corpora.local_files",
        "echochamber.corpora.gsm8k_corpus",
        "echochamber.corpora.hub",
        "echochamber.corpora.word_problems",
    ),
)
SourceConfig = Annotated[BaseSource, Variants(SOURCES, "kind")]


def register_source(cls: type[BaseSource]) -> type[BaseSource]:
    """Class decorator: make a source available under the default of its `kind` field.

    Raises:
        InputError: the kind is taken, or the class does not say its `kind` or how to `chunks`.
    """
    SOURCES.register(tag_of(cls, BaseSource, "kind", "source kind"), cls)
    return cls


def permitted(config: BaseSource, example: Example, reserved: Reserved) -> bool:
    """Whether a document may be trained on: it is not an evaluation problem, by text or by structure."""
    # A generator never writes what is reserved, so its keys need no second check.
    return config.endless or not (
        example.key in reserved.from_files or (example.structure and example.structure in reserved.from_files)
    )


def open_source(config: BaseSource, *, seed: int, reserved: Reserved = NOTHING_RESERVED) -> Iterator[Example]:
    """The documents of a source, in order; the order depends on nothing but the arguments.

    Raises:
        InputError: a file is missing, a line is broken, or a grammar yields nothing new.
    """
    for _, chunk in limited_chunks(config, seed=seed, excluded=config.excluded(reserved)):
        yield from (example for example in chunk if permitted(config, example, reserved))


def limited_chunks(
    config: BaseSource, *, seed: int, excluded: frozenset[str], start: int = 0, read: int = 0
) -> Iterator[tuple[int, list[Example]]]:
    """Chunks of a source from number `start` on, ending after `config.documents` documents.

    Args:
        read: documents in the chunks before `start`.

    Yields:
        (documents up to and with this chunk, the chunk).
    """
    limit = config.documents
    if limit is not None and read >= limit:
        return
    for chunk in config.chunks(seed=seed, excluded=excluded, start=start):
        kept = chunk if limit is None else chunk[: limit - read]
        read += len(kept)
        yield read, kept
        if limit is not None and read >= limit:
            return
