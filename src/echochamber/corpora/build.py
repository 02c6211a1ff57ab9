"""From a mixture to token shards, resumable after a kill at any moment."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from echochamber.base import (
    EchoError,
    InputError,
    Progress,
    digest,
    digest_file,
    explained_write,
    fault_point,
    progress,
    read_json,
    write_json,
)
from echochamber.corpora.mixtures import ControlledMixture, Mixture, check_sources
from echochamber.corpora.shards import (
    LAYOUT_VERSION,
    MANIFEST,
    ShardWriter,
    Written,
    describe_shards,
    read_manifest,
    token_dtype,
)
from echochamber.corpora.sources import BaseSource, Example, limited_chunks
from echochamber.corpora.tokenizer import Tokenizer, source_seed

HELDOUT_DOCUMENTS = 128
"""Documents of each source that are kept out of training, to measure loss on."""

# One key in this many may be held out. Decided by the key alone, so that a generated problem
# that is held out in one source is in no other source's training documents.
_HELDOUT_ONE_IN = 32

# Chunks between two saved states; a kill costs the work since the last one.
_CHUNKS_PER_SAVE = 64

Show = Callable[[str, int], AbstractContextManager[Progress]]


def _may_hold_out(key: str) -> bool:
    return zlib.crc32(key.encode()) % _HELDOUT_ONE_IN == 0


class _State:
    """How far a source has come; everything that is needed to go on from its last save."""

    def __init__(self, path: Path, identity: str) -> None:
        self.path, self.identity = path, identity
        self.chunk = 0
        self.read = 0
        self.done = False
        self.full = False
        self.heldout_keys: dict[str, None] = {}
        self.written = Written()
        self.heldout_written = Written()
        self.formats: dict[str, int] = {}
        self.wrong = 0
        if path.exists():
            saved = read_json(path)
            if saved["identity"] == identity:
                self.__dict__.update(
                    {k: v for k, v in saved.items() if k not in ("written", "heldout_written")}
                )
                self.heldout_keys = dict.fromkeys(saved["heldout_keys"])
                self.written = Written(**saved["written"])
                self.heldout_written = Written(**saved["heldout_written"])

    def save(self) -> None:
        """Write down how far the source has come."""
        saved = {k: v for k, v in self.__dict__.items() if k != "path"}
        saved["heldout_keys"] = list(self.heldout_keys)
        saved["written"], saved["heldout_written"] = asdict(self.written), asdict(self.heldout_written)
        write_json(self.path, saved)


class _SourceBuilder:
    """Tokenises one source up to its quota."""

    def __init__(
        self, name: str, source: BaseSource, tokenizer: Tokenizer, folder: Path, state: _State
    ) -> None:
        self.name, self.source, self.tokenizer, self.state = name, source, tokenizer, state
        dtype = token_dtype(tokenizer.vocab_size)
        self.training = ShardWriter(folder, name, dtype, state.written)
        self.heldout = ShardWriter(folder, f"{name}.heldout", dtype, state.heldout_written)

    def build(
        self, quota: int | None, *, seed: int, excluded: frozenset[str], shown: Callable[[int], None]
    ) -> None:
        state = self.state
        chunks = limited_chunks(self.source, seed=seed, excluded=excluded, start=state.chunk, read=state.read)
        if state.chunk == 0 and not state.done:
            self.training.clear()
            self.heldout.clear()
        for read, chunk in chunks if not state.done else ():
            state.full = self._add(chunk, quota)
            state.chunk, state.read = state.chunk + 1, read
            shown(state.written.tokens)
            if state.full:
                break
            if state.chunk % _CHUNKS_PER_SAVE == 0:
                self._save()
        state.done = True
        self._save()
        self.training.close()
        self.heldout.close()

    def _save(self) -> None:
        self.training.sync()
        self.heldout.sync()
        self.state.save()
        fault_point("mixture.after_save")

    def _add(self, chunk: list[Example], quota: int | None) -> bool:
        """Append a chunk's documents; True once the quota is reached."""
        training: list[Example] = []
        heldout: list[Example] = []
        for example in chunk:
            (heldout if self._hold_out(example.key) else training).append(example)
        if self.source.endless:
            heldout = heldout[: HELDOUT_DOCUMENTS - self.state.heldout_written.documents]
        self.heldout.append(encode_documents(self.tokenizer, heldout))
        documents = encode_documents(self.tokenizer, training)
        count = len(documents)
        if quota is not None:
            room = quota - self.state.written.tokens
            count = 0
            while count < len(documents) and len(documents[count]) <= room:
                room -= len(documents[count])
                count += 1
        self.training.append(documents[:count])
        for example in training[:count]:
            label = example.format or "text"
            self.state.formats[label] = self.state.formats.get(label, 0) + 1
            self.state.wrong += not example.correct
        return count < len(documents)

    def _hold_out(self, key: str) -> bool:
        if not _may_hold_out(key):
            return False
        keys = self.state.heldout_keys
        if self.source.endless or key in keys:
            return True
        if len(keys) < HELDOUT_DOCUMENTS:
            keys[key] = None
            return True
        return False


def encode_documents(tokenizer: Tokenizer, examples: list[Example]) -> list[list[int]]:
    """Ids of question, blank line, solution, end of text; raw text has the last two only."""
    asked = [example.question for example in examples if example.question is not None]
    ids = tokenizer.encode_texts(
        [question.rstrip() + "\n\n" for question in asked] + [example.solution for example in examples]
    )
    prompts, solutions = iter(ids[: len(asked)]), ids[len(asked) :]
    end = [tokenizer.eos_id]
    return [
        (next(prompts) if example.question is not None else []) + solution + end
        for example, solution in zip(examples, solutions, strict=True)
    ]


def build_mixture(
    config: Mixture,
    sources: Mapping[str, BaseSource],
    tokenizer: Tokenizer,
    folder: Path,
    *,
    seed: int,
    excluded: frozenset[str],
    show: Show = progress,
) -> dict[str, Any]:
    """Tokenise a mixture into shards under `folder`; the manifest is written last.

    A folder left by a kill is continued, and ends with the same bytes as an
    undisturbed build. A finished one is returned as it is.

    Args:
        excluded: problem keys that no generated source may yield.

    Returns:
        The manifest: per source its documents, tokens, passes, quota, formats, files with digests.

    Raises:
        InputError: a source cannot be read, or holds less than its quota.
        EchoError: the disk refused.
    """
    check_sources(config, sources)
    chosen = {name: sources[name] for name in config.source_names}
    identity = digest(
        {
            "mixture": config, "sources": dict(chosen), "tokenizer": tokenizer.fingerprint(), "seed": seed,
            "excluded": sorted(excluded), "files": _input_digests(chosen), "layout": LAYOUT_VERSION,
        }
    )  # fmt: skip
    if (folder / MANIFEST).exists():
        manifest = read_manifest(folder)
        if manifest["identity"] != identity:
            raise InputError(f"{folder} holds another mixture; remove it or choose another folder")
        _clean(folder)
        return manifest
    with explained_write(folder):
        folder.mkdir(parents=True, exist_ok=True)
    quotas = config.quotas() if isinstance(config, ControlledMixture) else dict.fromkeys(chosen, None)
    states = {name: _State(folder / f"{name}.progress.json", identity) for name in chosen}
    _build_sources(chosen, quotas, tokenizer, folder, states, seed=seed, excluded=excluded, show=show)
    manifest = _manifest(config, chosen, quotas, tokenizer, folder, states)
    manifest["identity"] = identity
    manifest["files"] = _input_digests(chosen)
    write_json(folder / MANIFEST, manifest)
    _clean(folder)
    return manifest


def _clean(folder: Path) -> None:
    """Remove what only an unfinished build needs."""
    for path in sorted([*folder.glob("*.progress.json"), *folder.glob("*.tmp")]):
        fault_point("mixture.before_cleanup")
        path.unlink(missing_ok=True)


def _build_sources(
    chosen: Mapping[str, BaseSource], quotas: Mapping[str, int | None], tokenizer: Tokenizer, folder: Path,
    states: Mapping[str, _State], *, seed: int, excluded: frozenset[str], show: Show,
) -> None:  # fmt: skip
    known = [quota for quota in quotas.values() if quota is not None]
    guesses = [source.estimated_tokens() or 0 for source in chosen.values()]
    total = sum(known) if len(known) == len(quotas) else max(1, sum(guesses))
    with show("tokenise", total) as bar:
        for name, source in chosen.items():
            before = sum(state.written.tokens for other, state in states.items() if other != name)

            def shown(tokens: int, before: int = before, name: str = name) -> None:
                bar.update(min(total, before + tokens), source=name, tokens=float(before + tokens))

            builder = _SourceBuilder(name, source, tokenizer, folder, states[name])
            builder.build(quotas[name], seed=source_seed(seed, name), excluded=excluded, shown=shown)
            quota = quotas[name]
            if quota is not None and not states[name].full and states[name].written.tokens < quota:
                raise InputError(
                    f"the mixture wants {quota:,} tokens of '{name}', which holds only "
                    f"{states[name].written.tokens:,} "
                    f"beside its {states[name].heldout_written.documents} held-out "
                    "documents; lower tokens or its share, or add data"
                )
            if states[name].written.documents == 0:
                raise InputError(
                    f"the source '{name}' has no document that fits its quota of {quota} tokens; raise it"
                )


def _input_digests(sources: Mapping[str, BaseSource]) -> dict[str, dict[str, str]]:
    digests: dict[str, dict[str, str]] = {}
    for name, source in sources.items():
        for path in source.inputs():
            try:
                digests.setdefault(name, {})[path.name] = digest_file(path)
            except OSError as error:
                raise InputError(f"source '{name}': cannot read {path}: {error.strerror}") from error
    return digests


def _manifest(
    config: Mixture, chosen: Mapping[str, BaseSource], quotas: Mapping[str, int | None], tokenizer: Tokenizer,
    folder: Path, states: Mapping[str, _State],
) -> dict[str, Any]:  # fmt: skip
    passes = {name: 1.0 if isinstance(config, ControlledMixture) else config.passes[name] for name in chosen}
    rows: dict[str, Any] = {}
    for name, source in chosen.items():
        state = states[name]
        rows[name] = {
            "documents": state.written.documents,
            "tokens": state.written.tokens,
            "quota": quotas[name],
            "passes": passes[name],
            "mean_document_tokens": round(state.written.tokens / state.written.documents, 3),
            "formats": dict(sorted(state.formats.items())),
            "wrong_solutions": state.wrong,
            "shards": describe_shards(folder, name),
            "heldout": {
                "documents": state.heldout_written.documents,
                "tokens": state.heldout_written.tokens,
                "shards": describe_shards(folder, f"{name}.heldout"),
            },
            "notes": source.notes(),
            "config": source.model_dump(mode="json"),
        }
    return {
        "layout": LAYOUT_VERSION,
        "mixture": config.model_dump(mode="json"),
        "dtype": token_dtype(tokenizer.vocab_size).str,
        "vocab_size": tokenizer.vocab_size,
        "tokenizer": tokenizer.fingerprint(),
        "order": list(chosen),
        "sources": rows,
    }


def require_finished(folder: Path) -> dict[str, Any]:
    """The manifest of a finished mixture.

    Raises:
        EchoError: the mixture was never finished or is damaged.
    """
    if not (folder / MANIFEST).exists():
        raise EchoError(f"{folder} holds no finished mixture; build it first")
    return read_manifest(folder)
