"""Mixtures: exact quotas, nested prefixes, damaged shards, kills, and batches as a function of the step."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from echochamber.base import EchoError, InputError
from echochamber.corpora import (
    Reserved,
    TokenData,
    Tokenizer,
    TokenizerConfig,
    WordProblemsSource,
    arithmetic,
    build_mixture,
    plan_mixture,
    shards,
    tokenizing,
    train_tokenizer,
    word_problems,
)
from echochamber.corpora.arithmetic import ArithmeticSource
from echochamber.corpora.local_files import JsonlSource
from echochamber.corpora.mixtures import ControlledMixture, PassesMixture, Quota

SOURCES = {
    "code": WordProblemsSource(format="tinygsm"),
    "prose": WordProblemsSource(format="boxed", wrong_share=0.5),
    "facts": ArithmeticSource(),
}
MIXTURE = ControlledMixture(tokens=30_000, shares={"prose": 0.5, "code": 0.3, "facts": 0.2})


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(TokenizerConfig(vocab_size=512, sample_documents=300), SOURCES, seed=0)


def _build(tokenizer: Tokenizer, folder: Path, mixture=MIXTURE, sources=SOURCES, seed: int = 0) -> dict:
    return build_mixture(
        mixture,
        sources,
        tokenizer,
        folder,
        seed=seed,
        reserved=Reserved(from_generators=frozenset({"(2+2)"})),
    )


@pytest.fixture(scope="module")
def built(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixture") / "data"
    _build(tokenizer, folder)
    return folder


def _documents(data: TokenData, name: str) -> list[tuple[int, ...]]:
    documents = data._training[data.sources.index(name)]
    return [tuple(documents.document(i).tolist()) for i in range(len(documents))]


def test_quotas_sum_to_the_budget() -> None:
    mixture = ControlledMixture(tokens=1000, shares={"a": 0.333, "b": 0.333, "c": 0.333, "none": 0})
    assert mixture.quotas() == {"a": Quota(334), "b": Quota(333), "c": Quota(333)}
    assert mixture.source_names == ("a", "b", "c")
    by_documents = ControlledMixture(documents=10, shares={"a": 0.34, "b": 0.66})
    assert by_documents.quotas() == {"a": Quota(3, "documents"), "b": Quota(7, "documents")}
    counted = ControlledMixture(documents={"a": 5, "b": 0, "c": 2})
    assert counted.quotas() == {"a": Quota(5, "documents"), "c": Quota(2, "documents")}
    assert counted.source_names == ("a", "c") and counted.unit == "documents"


def test_achieved_tokens_miss_the_quota_by_less_than_a_document(tokenizer: Tokenizer, built: Path) -> None:
    manifest = json.loads((built / "manifest.json").read_text())
    data = TokenData(built)
    assert data.sources == ("prose", "code", "facts")
    total = 0
    for name, quota in {"prose": 15_000, "code": 9_000, "facts": 6_000}.items():
        row = manifest["sources"][name]
        longest = max(len(document) for document in _documents(data, name))
        assert row["quota"] == quota and quota - longest < row["tokens"] <= quota
        assert row["tokens"] == sum(map(len, _documents(data, name)))
        total += row["tokens"]
    assert data.num_tokens == total
    assert manifest["sources"]["prose"]["wrong_solutions"] > 100
    assert manifest["sources"]["code"]["formats"] == {"tinygsm": manifest["sources"]["code"]["documents"]}


@pytest.mark.parametrize(
    "mixture",
    [
        ControlledMixture(documents=3000, shares={"prose": 0.5, "code": 0.3, "facts": 0.2}),
        ControlledMixture(documents={"prose": 1500, "code": 900, "facts": 600}),
    ],
)
def test_a_mixture_by_documents_has_exactly_as_many(
    tokenizer: Tokenizer, built: Path, tmp_path: Path, mixture: ControlledMixture
) -> None:
    manifest = _build(tokenizer, tmp_path / "data", mixture)
    counts = {"prose": 1500, "code": 900, "facts": 600}
    by_tokens = TokenData(built)
    data = TokenData(tmp_path / "data")
    for name, count in counts.items():
        facts = manifest["sources"][name]
        assert (facts["documents"], facts["quota"], facts["quota_unit"]) == (count, count, "documents")
        # The same prefix of the same stream as the mixture by tokens.
        few, many = sorted((_documents(by_tokens, name), _documents(data, name)), key=len)
        assert many[: len(few)] == few
    assert manifest["mixture"]["kind"] == "controlled"
    planned = {source.name: source for source in plan_mixture(mixture, SOURCES).sources}
    for name in counts:
        assert planned[name].estimated
        assert planned[name].tokens == pytest.approx(manifest["sources"][name]["tokens"], rel=1)


def test_documents_on_the_edge_of_a_chunk_are_counted_exactly(tokenizer: Tokenizer, tmp_path: Path) -> None:
    for count in (1, 999, 1000, 1001):
        small = ControlledMixture(documents={"code": count})
        manifest = _build(tokenizer, tmp_path / str(count), small)
        assert manifest["sources"]["code"]["documents"] == count
    finite = {"code": WordProblemsSource(format="tinygsm", documents=100)}
    with pytest.raises(InputError, match=r"wants 100 documents of 'code', which holds only \d+ beside"):
        _build(tokenizer, tmp_path / "much", ControlledMixture(documents={"code": 100}), finite)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shares": {"a": 1}}, "expected either tokens or documents, found neither"),
        (
            {"tokens": 5, "documents": 5, "shares": {"a": 1}},
            "expected either tokens or documents, found both",
        ),
        ({"tokens": 5}, "shares: missing"),
        ({"documents": 5}, "shares: missing"),
        ({"documents": {"a": 5}, "shares": {"a": 1}}, "remove shares"),
        ({"documents": {"a": 0}}, "documents sum to 0"),
        ({"documents": {"a": -1}}, "greater than or equal to 0"),
        ({"documents": 0, "shares": {"a": 1}}, "greater than or equal to 1"),
    ],
)
def test_a_total_is_in_tokens_or_in_documents(options: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ControlledMixture(**options)


def test_a_larger_budget_and_another_recipe_share_the_same_prefix(
    tokenizer: Tokenizer, built: Path, tmp_path: Path
) -> None:
    _build(tokenizer, tmp_path / "more", ControlledMixture(tokens=40_000, shares={"code": 0.5, "facts": 0.5}))
    small, large = TokenData(built), TokenData(tmp_path / "more")
    for name in ("code", "facts"):
        few, many = _documents(small, name), _documents(large, name)
        assert len(few) < len(many) and many[: len(few)] == few
        few_held, many_held = small.heldout(name), large.heldout(name)
        assert len(many_held) >= len(few_held) > 0
        assert all(np.array_equal(a, b) for a, b in zip(few_held, many_held, strict=False))


def test_held_out_and_excluded_problems_are_never_trained_on(tokenizer: Tokenizer, built: Path) -> None:
    data = TokenData(built)
    held = {tokenizer.decode(d).split("\n\n")[0] for n in ("code", "prose") for d in data.heldout(n)}
    trained = {tokenizer.decode(d).split("\n\n")[0] for n in ("code", "prose") for d in _documents(data, n)}
    assert len(held) > 10 and not held & trained
    assert not any(
        "():\n    a = 2 + 2\n    return a" in tokenizer.decode(d) for d in _documents(data, "code")
    )


def test_documents_end_and_prompts_are_kept_whole(tokenizer: Tokenizer, built: Path) -> None:
    for document in _documents(TokenData(built), "prose")[:50]:
        assert document[-1] == tokenizer.eos_id and tokenizer.eos_id not in document[:-1]
        question, solution = tokenizer.decode(document).split("\n\n")
        assert list(document[:-1]) == tokenizer.encode_prompt(question) + tokenizer.encode_solution(solution)


def test_one_epoch_reads_every_token_once_and_batches_depend_on_step_and_seed_alone(built: Path) -> None:
    data = TokenData(built)
    steps = data.steps(4, 32)
    assert steps == (data.num_tokens - 1) // 128
    batches = [data.batch(i, batch_size=4, sequence_length=32, seed=1) for i in range(steps)]
    assert all(b.shape == (4, 33) and b.dtype == np.int64 for b in batches)
    stream = np.concatenate([b[:, :-1].reshape(-1) for b in batches])
    everything = Counter(t for name in data.sources for d in _documents(data, name) for t in d)
    seen = Counter(stream.tolist())
    assert not seen - everything and sum((everything - seen).values()) == data.num_tokens - len(stream)
    again = TokenData(built)
    for step in (steps - 1, 0, 3, steps + 2):
        first = data.batch(step, batch_size=4, sequence_length=32, seed=1)
        assert np.array_equal(first, again.batch(step, batch_size=4, sequence_length=32, seed=1))
    assert np.array_equal(batches[0][0, -1:], batches[0][1, :1]), "neighbors overlap by one token"
    other_seed = data.batch(0, batch_size=4, sequence_length=32, seed=2)
    second_epoch = data.batch(steps, batch_size=4, sequence_length=32, seed=1)
    assert not np.array_equal(other_seed, batches[0]) and not np.array_equal(second_epoch, batches[0])


def test_a_batch_larger_than_the_mixture_is_refused(built: Path) -> None:
    with pytest.raises(InputError, match="less than one batch of 1000 x 128"):
        TokenData(built).steps(1000, 128)


def test_passes_repeat_whole_sources(tokenizer: Tokenizer, tmp_path: Path) -> None:
    rows = [{"question": f"What is {i}?", "solution": f"It is {i}."} for i in range(400)]
    path = tmp_path / "qa.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    sources = {
        "qa": JsonlSource(path=path, format="boxed"),
        "code": WordProblemsSource(format="tinygsm", documents=50),
    }
    manifest = _build(tokenizer, tmp_path / "data", PassesMixture(passes={"qa": 2.5, "code": 1}), sources)
    row, data = manifest["sources"]["qa"], TokenData(tmp_path / "data")
    assert row["documents"] + row["heldout"]["documents"] == 400 and row["heldout"]["documents"] > 0
    assert manifest["sources"]["code"]["documents"] <= 50
    half = round(row["documents"] / 2)
    expected = 2 * row["tokens"] + sum(map(len, _documents(data, "qa")[:half]))
    assert data.num_tokens == expected + manifest["sources"]["code"]["tokens"]
    assert manifest["files"]["qa"]["qa.jsonl"]


def test_plans_without_reading(tmp_path: Path) -> None:
    plan = plan_mixture(MIXTURE, SOURCES)
    assert plan.tokens == 30_000 and [s.tokens for s in plan.sources] == [15_000, 9_000, 6_000]
    assert [s.share for s in plan.sources] == [0.5, 0.3, 0.2]
    (tmp_path / "a.jsonl").write_text("x" * 3200)
    passes = plan_mixture(PassesMixture(passes={"a": 4}), {"a": JsonlSource(path=tmp_path / "a.jsonl")})
    assert passes.sources[0].estimated and passes.tokens == 4000 and passes.sources[0].passes == 4


def test_mistakes_in_a_mixture_are_sentences(tokenizer: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the source 'coed', which does not exist.* Did you mean 'code'"):
        plan_mixture(ControlledMixture(tokens=10, shares={"coed": 1}), SOURCES)
    with pytest.raises(InputError, match="generated without end"):
        plan_mixture(PassesMixture(passes={"code": 2}), SOURCES)
    for shares, total in (({"code": 0}, "0"), ({"code": 0.6, "facts": 0.6}, "1.2"), ({"code": 0.99}, "0.99")):
        with pytest.raises(ValidationError, match=f"the shares sum to {total}; expected 1"):
            ControlledMixture(tokens=10, shares=shares)
    with pytest.raises(ValidationError, match="not negative"):
        ControlledMixture(tokens=10, shares={"code": -1})
    finite = {"code": WordProblemsSource(format="tinygsm", documents=100)}
    too_much = ControlledMixture(tokens=1_000_000, shares={"code": 1})
    with pytest.raises(InputError, match=r"wants 1,000,000 tokens of 'code', which holds only [\d,]+ beside"):
        _build(tokenizer, tmp_path / "a", too_much, finite)
    with pytest.raises(InputError, match="no document that fits its quota of 1"):
        _build(tokenizer, tmp_path / "b", ControlledMixture(tokens=1, shares={"code": 1}))
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(InputError, match="cannot write .*: a file is in the way"):
        _build(tokenizer, blocked / "data")


def test_a_finished_mixture_is_answered_and_another_one_refused(tokenizer: Tokenizer, built: Path) -> None:
    stamp = (built / "manifest.json").stat().st_mtime_ns
    _build(tokenizer, built)
    assert (built / "manifest.json").stat().st_mtime_ns == stamp
    with pytest.raises(InputError, match="holds another mixture"):
        _build(tokenizer, built, seed=1)


@pytest.mark.parametrize("pattern", ["code-*.ds", "prose-*.ends", "facts.heldout-*.ds"])
def test_damaged_shards_are_detected(tokenizer: Tokenizer, built: Path, tmp_path: Path, pattern: str) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in built.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    victim = next(copy.glob(pattern))
    content = victim.read_bytes()
    victim.write_bytes(content[:-2])
    with pytest.raises(EchoError, match=rf"{victim.name} is damaged: {len(content) - 2} bytes instead of"):
        TokenData(copy)
    victim.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises(EchoError, match="SHA-256 is not the manifest's"):
        TokenData(copy)
    victim.unlink()
    with pytest.raises(EchoError, match="is missing; build the mixture again"):
        TokenData(copy)
    (copy / "manifest.json").unlink()
    with pytest.raises(EchoError, match="no finished mixture"):
        TokenData(copy)


def test_wide_vocabularies_use_four_bytes() -> None:
    assert shards.token_dtype(65_536).itemsize == 2
    assert shards.token_dtype(65_537).itemsize == 4


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _run_in_fork(action, environment: dict[str, str]) -> int:
    """Exit status of `action` in a forked process."""
    child = os.fork()
    if child == 0:
        os.environ.update(environment)
        try:
            action()
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1]


@pytest.mark.long
def test_a_build_killed_at_any_point_ends_with_the_same_bytes(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small shards and frequent saves, so that kills fall into every kind of moment."""
    monkeypatch.setattr(shards, "SHARD_TOKENS", 3000)
    monkeypatch.setattr(tokenizing, "_CHUNKS_PER_SAVE", 1)
    monkeypatch.setattr(word_problems, "CHUNK_DOCUMENTS", 150)
    monkeypatch.setattr(arithmetic, "CHUNK_DOCUMENTS", 150)
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    trace = tmp_path / "trace"
    assert (
        _run_in_fork(lambda: _build(tokenizer, tmp_path / "whole"), {"ECHOCHAMBER_FAULT_TRACE": str(trace)})
        == 0
    )
    points = trace.read_text().split()
    assert {"shard.mid_write", "shard.after_sync", "mixture.after_save", "mixture.before_cleanup"} <= set(
        points
    )
    expected = _bytes(tmp_path / "whole")
    assert not any(name.endswith((".progress.json", ".tmp")) for name in expected)
    assert sum(name.startswith("prose-") for name in expected) > 6, "several shards"
    for count in [*range(1, len(points) - 10, 17), *range(len(points) - 9, len(points) + 1)]:
        folder = tmp_path / f"killed-{count}"
        status = _run_in_fork(lambda f=folder: _build(tokenizer, f), {"ECHOCHAMBER_FAULT": f"*:{count}"})
        assert status == signal.SIGKILL
        second = _run_in_fork(lambda f=folder: _build(tokenizer, f), {"ECHOCHAMBER_FAULT": "*:7"})
        assert second in (0, signal.SIGKILL)
        _build(tokenizer, folder)
        assert _bytes(folder) == expected, f"killed at {points[count - 1]} ({count})"
