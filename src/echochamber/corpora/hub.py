"""Corpora and benchmarks of the Hugging Face hub as sources and tasks, by name or by repository."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from echochamber.base import InputError, Row, did_you_mean, read_files
from echochamber.corpora.catalog import BENCHMARKS, CORPORA, Benchmark, Corpus
from echochamber.corpora.hub_repo import MIRROR_VARIABLE, HubRepo, check_content, open_repo
from echochamber.corpora.local_files import FILE_CHUNK_ROWS, ProblemFields, RowTask, document_of
from echochamber.corpora.sources import BaseSource, Example, register_source
from echochamber.corpora.tasks import register_task

# Number of files downloaded ahead while an earlier one is read.
_FILES_AHEAD = 2


@lru_cache(maxsize=64)
def _repo(name: str, revision: str | None, mirror: Path | None) -> HubRepo:
    return open_repo(name, revision, mirror=mirror)


def _fetched(repo: HubRepo, patterns: tuple[str, ...]) -> Iterator[Path]:
    """Local paths of the matching files, in order; the next ones are downloaded meanwhile."""
    files = repo.files(patterns)
    pool = ThreadPoolExecutor(_FILES_AHEAD)
    try:
        waiting = [pool.submit(repo.fetch, file) for file in files[: _FILES_AHEAD + 1]]
        for index in range(len(files)):
            yield waiting[index].result()
            if index + _FILES_AHEAD + 1 < len(files):
                waiting.append(pool.submit(repo.fetch, files[index + _FILES_AHEAD + 1]))
    finally:
        # Waits for running downloads, so that a retry does not collide with them.
        pool.shutdown(cancel_futures=True)


def _described(repo: HubRepo, patterns: tuple[str, ...]) -> dict[str, int | str]:
    """Repository, commit, and size and SHA-256 of every file, for the manifest."""
    notes: dict[str, int | str] = {"repository": repo.name, "revision": repo.commit}
    for file in repo.files(patterns):
        notes[f"sha256 {file.name}"] = check_content(repo.fetch(file), file)
        notes[f"bytes {file.name}"] = file.bytes
    return notes


def _snapshot(repo: HubRepo, patterns: tuple[str, ...]) -> dict[str, str]:
    """Names with commit and sizes: digests of tens of gigabytes are computed once, after reading."""
    return {f"{repo.name}@{repo.commit}/{file.name}": f"{file.bytes} bytes" for file in repo.files(patterns)}


def _fingerprint(card: Corpus | Benchmark, mirror: Path | None) -> dict[str, str]:
    """The files of a mirror; without one, what will be requested, so that a plan needs no connection."""
    if mirror is not None or os.environ.get(MIRROR_VARIABLE):
        return _snapshot(_repo(card.repo, card.revision, mirror), card.files)
    return {f"{card.repo}@{card.revision or 'newest'}/{pattern}": "on the hub" for pattern in card.files}


def _mirrored(card: Corpus | Benchmark, mirror: Path | None) -> tuple[Path, ...]:
    """The files of a mirror; none without one."""
    if mirror is None and not os.environ.get(MIRROR_VARIABLE):
        return ()
    repo = _repo(card.repo, card.revision, mirror)
    return tuple(repo.fetch(file) for file in repo.files(card.files))


def _known(name: str, table: Mapping[str, object], kind: str) -> None:
    if name not in table:
        raise ValueError(
            f"unknown {kind} '{name}': expected one of {', '.join(table)}, or set repo and files."
            f"{did_you_mean(name, table)}"
        )


@register_source
class HubSource(BaseSource):
    """A corpus of the hub: one from the catalog, or any repository with its files and fields.

    Attributes:
        corpus: name in the catalog; the fields below override its entries.
        repo: `owner/name` of a dataset.
        revision: commit to read; the catalog's, or the newest one, which is then pinned.
        files: patterns of file names; the first that matches any is used.
        question: field of the question; an empty string for raw text.
        solution: field of the solution or of the raw text.
        format: label of the solutions' format.
        mirror: folder with repositories in the hub's layout, read instead of the hub.
    """

    kind: Literal["hub"] = "hub"
    corpus: str | None = None
    repo: str | None = Field(default=None, pattern=r"^[^/\s]+/[^/\s]+$")
    revision: str | None = None
    files: tuple[str, ...] | None = None
    question: str | None = None
    solution: str | None = None
    format: str | None = None
    mirror: Path | None = None

    @model_validator(mode="after")
    def _complete(self) -> HubSource:
        if self.corpus is not None:
            _known(self.corpus, CORPORA, "corpus")
        elif self.repo is None or not self.files or self.solution is None:
            raise ValueError("expected corpus, or repo with files and solution")
        return self

    @property
    def card(self) -> Corpus:
        """The catalog's entry with this config's changes."""
        base = CORPORA[self.corpus] if self.corpus is not None else None
        question = self.question if self.question is not None else (base.question if base else None)
        return Corpus(
            repo=self.repo or (base.repo if base else ""),
            files=self.files or (base.files if base else ()),
            question=question or None,
            solution=self.solution or (base.solution if base else ""),
            format=self.format or (base.format if base else None),
            license=base.license if base else "",
            tokens=base.tokens if base else 0,
            revision=self.revision or (base.revision if base and self.repo in (None, base.repo) else None),
        )

    def _open(self) -> HubRepo:
        return _repo(self.card.repo, self.card.revision, self.mirror)

    def chunks(self, *, seed: int, excluded: frozenset[str], start: int = 0) -> Iterator[list[Example]]:
        """See `BaseSource.chunks`.

        Raises:
            InputError: the dataset is missing, gated or changed, or a row lacks a field.
        """
        card = self.card
        columns = [field for field in (card.question, card.solution) if field is not None]
        paths = _fetched(self._open(), card.files)
        rows = read_files(paths, columns, start * FILE_CHUNK_ROWS)
        while chunk := [
            document_of(row, place, card.question, card.solution, card.format)
            for place, row in islice(rows, FILE_CHUNK_ROWS)
        ]:
            yield chunk

    def fingerprint(self) -> dict[str, str]:
        """See `BaseSource.fingerprint`."""
        return _fingerprint(self.card, self.mirror)

    def local_files(self) -> tuple[Path, ...]:
        """See `BaseSource.local_files`: the files of a mirror."""
        return _mirrored(self.card, self.mirror)

    def snapshot(self) -> dict[str, str]:
        """See `BaseSource.snapshot`: the commit, and name and size of every file."""
        return _snapshot(self._open(), self.card.files)

    def notes(self) -> dict[str, int | str]:
        """See `BaseSource.notes`."""
        return {**_described(self._open(), self.card.files), "license": self.card.license}

    @property
    def is_local(self) -> bool:
        """Whether a mirror is named, in the study or by the environment."""
        return self.mirror is not None or bool(os.environ.get(MIRROR_VARIABLE))

    def estimated_tokens(self) -> int | None:
        """See `BaseSource.estimated_tokens`: the catalog's figure, or an estimate from mirrored files.

        Never contacts the hub: a plan is made without a connection.
        """
        if self.is_local or self.card.tokens == 0:
            try:
                sizes = (file.bytes * _inflation(file.name) for file in self._open().files(self.card.files))
                return round(sum(sizes) / 3.2)
            except InputError:
                return self.card.tokens or None
        return self.card.tokens


def _inflation(name: str) -> float:
    """The approximate ratio of the text's size to the file's."""
    return 4.0 if name.endswith((".parquet", ".gz", ".zst")) else 1.0


@register_task
class HubTask(RowTask):
    """Problems from the hub: a benchmark from the catalog, or any repository.

    Attributes:
        problems: name in the catalog; the fields below override its entries.
        repo, revision, files, mirror: as for a source.
        question, answer, answer_pattern, rules, level, family: as for a file.
    """

    kind: Literal["hub"] = "hub"
    problems: str | None = None
    repo: str | None = Field(default=None, pattern=r"^[^/\s]+/[^/\s]+$")
    revision: str | None = None
    files: tuple[str, ...] | None = None
    question: str | None = None
    answer: str | None = None
    answer_pattern: str | None = None
    rules: str | None = None
    level: str | None = None
    family: str | None = None
    mirror: Path | None = None

    @model_validator(mode="after")
    def _complete(self) -> HubTask:
        if self.problems is not None:
            _known(self.problems, BENCHMARKS, "benchmark")
        elif None in (self.repo, self.files, self.question, self.answer):
            raise ValueError("expected problems, or repo with files, question and answer")
        return self

    @property
    def card(self) -> Benchmark:
        """The catalog's entry with this config's changes."""
        base = BENCHMARKS[self.problems] if self.problems is not None else None
        return Benchmark(
            repo=self.repo or (base.repo if base else ""),
            files=self.files or (base.files if base else ()),
            question=self.question or (base.question if base else ""),
            answer=self.answer or (base.answer if base else ""),
            answer_pattern=self.answer_pattern or (base.answer_pattern if base else None),
            rules=self.rules or (base.rules if base else "gsm8k"),
            license=base.license if base else "",
            level=self.level or (base.level if base else None),
            family=self.family or (base.family if base else None),
            revision=self.revision or (base.revision if base else None),
        )

    def fingerprint(self) -> dict[str, str]:
        """See `BaseTask.fingerprint`."""
        return _fingerprint(self.card, self.mirror)

    def local_files(self) -> tuple[Path, ...]:
        """See `BaseTask.local_files`: the files of a mirror."""
        return _mirrored(self.card, self.mirror)

    def planned_bytes(self) -> int | None:
        """See `BaseTask.planned_bytes`."""
        files = self.local_files()
        return sum(path.stat().st_size for path in files) if files else None

    def fields(self) -> ProblemFields:
        """See `RowTask.fields`."""
        card = self.card
        return ProblemFields(
            card.question, card.answer, card.answer_pattern, card.rules, card.level, card.family
        )

    def rows(self) -> Iterator[tuple[str, Row]]:
        """See `BaseTask.rows`."""
        card = self.card
        repo = _repo(card.repo, card.revision, self.mirror)
        return read_files(_fetched(repo, card.files), self.fields().names)
