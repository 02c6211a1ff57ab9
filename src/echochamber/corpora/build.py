"""Turns a mixture into a folder of token shards with a manifest, resumable after a kill at any moment."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from echochamber.base import (
    EchoError,
    InputError,
    Problem,
    Progress,
    digest,
    explained_write,
    fault_point,
    progress,
    write_json,
)
from echochamber.corpora.identity import NOTHING_RESERVED, Reserved
from echochamber.corpora.mixtures import ControlledMixture, Mixture, Quota, check_sources, plan_mixture
from echochamber.corpora.overlap import LEAKED_SHARE, OverlapIndex
from echochamber.corpora.shards import LAYOUT_VERSION, MANIFEST, describe_shards, read_manifest, token_dtype
from echochamber.corpora.sources import BaseSource
from echochamber.corpora.tokenizer import Tokenizer, source_seed
from echochamber.corpora.tokenizing import SourceBuilder

Show = Callable[[str, int], AbstractContextManager[Progress]]

# Token estimates may be off by a fifth, and checkpoints need room too.
_DISK_RESERVE = 1.25


def build_mixture(
    config: Mixture,
    sources: Mapping[str, BaseSource],
    tokenizer: Tokenizer,
    folder: Path,
    *,
    seed: int,
    reserved: Reserved = NOTHING_RESERVED,
    evaluations: Mapping[str, Sequence[Problem]] | None = None,
    max_leaked_share: float = LEAKED_SHARE,
    show: Show = progress,
) -> dict[str, Any]:
    """Tokenize a mixture into shards under `folder`; the manifest is written last.

    A build interrupted by a kill is continued and ends with the same bytes as an undisturbed one. A finished
    folder is left unchanged.

    Args:
        reserved: identities that no document may have.
        evaluations: evaluation sets whose overlap with each source is measured.
        max_leaked_share: share of an evaluation set that the sources may contain word for word.

    Returns:
        The manifest: per source its documents, tokens, passes, quota, formats, overlap with each
        evaluation set, files with digests.

    Raises:
        InputError: a source cannot be read, has less than its quota, or contains too much of an evaluation
            set; or the disk has no room for the tokens.
        EchoError: the disk refused.
    """
    check_sources(config, sources)
    chosen = {name: sources[name] for name in config.source_names}
    overlap = OverlapIndex(evaluations or {}, limit=max_leaked_share)
    files = {name: source.snapshot() for name, source in chosen.items()}
    identity = digest(
        {
            "mixture": config, "sources": dict(chosen), "tokenizer": tokenizer.fingerprint(), "seed": seed,
            "reserved": reserved.fingerprint(), "evaluations": overlap.fingerprint(), "files": files,
            "layout": LAYOUT_VERSION,
        }
    )  # fmt: skip
    if (folder / MANIFEST).exists():
        return _finished(folder, identity)
    with explained_write(folder):
        folder.mkdir(parents=True, exist_ok=True)
    check_disk(config, sources, tokenizer.vocab_size, folder)
    builders = {
        name: SourceBuilder(name, source, tokenizer, folder, identity=identity, overlap=overlap)
        for name, source in chosen.items()
    }
    quotas = config.quotas() if isinstance(config, ControlledMixture) else dict.fromkeys(chosen, Quota())
    _run(builders, quotas, seed=seed, reserved=reserved, show=show)
    contents = _contents(builders, quotas, config, overlap, folder, tokenizer)
    manifest = {"identity": identity, "files": files, **contents}
    write_json(folder / MANIFEST, manifest)
    _clean(folder)
    return manifest


def _finished(folder: Path, identity: str) -> dict[str, Any]:
    """The manifest of a build that ended, perhaps just before it cleaned up."""
    manifest = read_manifest(folder)
    if manifest["identity"] != identity:
        raise InputError(f"{folder} holds another mixture; remove it or choose another folder")
    _clean(folder)
    return manifest


def _contents(
    builders: Mapping[str, SourceBuilder],
    quotas: Mapping[str, Quota],
    config: Mixture,
    overlap: OverlapIndex,
    folder: Path,
    tokenizer: Tokenizer,
) -> dict[str, Any]:
    """The manifest's entries for the tokens on disk; refuses a mixture that contains an evaluation set."""
    together = overlap.empty_hits()
    for builder in builders.values():
        for name, hits in builder.state.hits.items():
            together[name].add(hits)
    overlap.refuse_leaks("the mixture", together)
    return {
        "layout": LAYOUT_VERSION,
        "mixture": config.model_dump(mode="json"),
        "tokenizer": tokenizer.fingerprint(),
        "vocab_size": tokenizer.vocab_size,
        "dtype": token_dtype(tokenizer.vocab_size).str,
        "order": list(builders),
        "overlap": overlap.report(together),
        "sources": {
            name: _describe(builder, quotas[name], config, folder) for name, builder in builders.items()
        },
    }


def _run(
    builders: Mapping[str, SourceBuilder],
    quotas: Mapping[str, Quota],
    *,
    seed: int,
    reserved: Reserved,
    show: Show,
) -> None:
    known = [quota.amount for quota in quotas.values() if quota.amount is not None and quota.unit == "tokens"]
    guesses = [builder.source.estimated_tokens() or 0 for builder in builders.values()]
    total = sum(known) if len(known) == len(quotas) else max(1, sum(guesses))
    with show("tokenize", total) as bar:
        for name, builder in builders.items():
            before = sum(b.state.written.tokens for other, b in builders.items() if other != name)

            def shown(tokens: int, before: int = before, name: str = name) -> None:
                bar.update(min(total - 1, before + tokens), source=name)

            builder.build(quotas[name], seed=source_seed(seed, name), reserved=reserved, shown=shown)
            _check_amount(builder, quotas[name])


def _check_amount(builder: SourceBuilder, quota: Quota) -> None:
    state = builder.state
    has = quota.of(state.written)
    if quota.amount is not None and not state.full and has < quota.amount:
        raise InputError(
            f"the mixture wants {quota} of '{builder.name}', which holds only {has:,} beside its "
            f"{state.heldout_written.documents} held-out documents; lower {quota.unit} or its share, or "
            "add data"
        )
    if state.written.documents == 0:
        raise InputError(
            f"the source '{builder.name}' has no document that fits its quota of {quota}; raise it"
        )


def _describe(builder: SourceBuilder, quota: Quota, config: Mixture, folder: Path) -> dict[str, Any]:
    state = builder.state
    return {
        "documents": state.written.documents,
        "tokens": state.written.tokens,
        "quota": quota.amount,
        "quota_unit": quota.unit,
        "passes": 1.0 if isinstance(config, ControlledMixture) else config.passes[builder.name],
        "mean_document_tokens": round(state.written.tokens / state.written.documents, 3),
        "formats": dict(sorted(state.formats.items())),
        "wrong_solutions": state.wrong,
        "left_out": state.left_out,
        "overlap": builder.overlap.report(state.hits),
        "shards": describe_shards(folder, builder.name),
        "heldout": {
            "documents": state.heldout_written.documents,
            "tokens": state.heldout_written.tokens,
            "shards": describe_shards(folder, f"{builder.name}.heldout"),
        },
        "notes": builder.source.notes(),
        "config": builder.source.model_dump(mode="json"),
    }


def _clean(folder: Path) -> None:
    """Remove files that only an unfinished build needs."""
    for path in sorted([*folder.glob("*.progress.json"), *folder.glob("*.tmp")]):
        fault_point("mixture.before_cleanup")
        path.unlink(missing_ok=True)


def check_disk(config: Mixture, sources: Mapping[str, BaseSource], vocab_size: int, folder: Path) -> None:
    """Before any work, refuse a mixture whose shards will not fit on the disk.

    Raises:
        InputError: with the bytes needed and free.
    """
    tokens = sum(source.tokens_on_disk or 0 for source in plan_mixture(config, sources).sources)
    written = sum(path.stat().st_size for path in folder.glob("*.ds"))
    needed = int(tokens * token_dtype(vocab_size).itemsize * _DISK_RESERVE) - written
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"the tokens of this mixture need about {needed / 1e9:,.1f} GB in {folder}, where "
            f"{free / 1e9:,.1f} GB are free; free some space, choose another disk, or lower tokens"
        )


def require_finished(folder: Path) -> dict[str, Any]:
    """The manifest of a finished mixture.

    Raises:
        EchoError: the mixture was never finished or is damaged.
    """
    if not (folder / MANIFEST).exists():
        raise EchoError(f"{folder} holds no finished mixture; build it first")
    return read_manifest(folder)
