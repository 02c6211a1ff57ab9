"""Finds files of evaluation sets among the training data: the same file, a copy, link or compressed copy."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from echochamber.base import InputError
from echochamber.base.file_bytes import COMPRESSED, read_pieces
from echochamber.corpora.sources import BaseSource
from echochamber.corpora.tasks import BaseTask


def refuse_evaluation_files(sources: Mapping[str, BaseSource], evaluations: Mapping[str, BaseTask]) -> None:
    """Before any work, refuse a training source that reads the file of an evaluation task or a copy of it.

    Files on this machine are compared by content, whatever their name, link or compression; files on the hub
    by name. Evaluation text in other files is found when the source is read (`corpora.overlap`).

    Args:
        sources: the sources of mixtures by name, and those of arms by their key in the study.

    Raises:
        InputError: there is such a source, or a file cannot be read.
    """
    owners: dict[str, str] = {}
    sizes: set[int] = set()
    for name, task in evaluations.items():
        owners |= dict.fromkeys(_remote_names(task), name)
        for path in task.local_files():
            digest, size = _content(path)
            owners[digest] = name
            sizes.add(size)
    for name, source in sources.items() if owners else ():
        for file, identity in _identities(source, sizes):
            if identity in owners:
                raise InputError(
                    f"the source '{name}' reads {file}, which is the evaluation set '{owners[identity]}'; an "
                    "evaluation set must not be trained on. Point it at the training file"
                )


def _identities(source: BaseSource, sizes: set[int]) -> Iterator[tuple[str, str]]:
    """Each file of a source that could be an evaluation file, with what identifies its content."""
    for name in _remote_names(source):
        yield name, name
    largest = max(sizes, default=0)
    for path in source.local_files():
        size = path.stat().st_size
        # A compressed copy is no larger than its content, except for a few bytes of header.
        if size in sizes or (path.suffix.lower() in COMPRESSED and size <= largest + 1024):
            yield str(path), _content(path)[0]


def _remote_names(config: BaseSource | BaseTask) -> list[str]:
    """Names of files on the hub."""
    return [name for name, value in config.fingerprint().items() if len(value) != 64]


def _content(path: Path) -> tuple[str, int]:
    """SHA-256 and length of a file's content, decompressed."""
    state, size = hashlib.sha256(), 0
    for piece in read_pieces(path):
        state.update(piece)
        size += len(piece)
    return state.hexdigest(), size
