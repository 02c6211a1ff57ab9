"""Corpora of the hub: a local mirror in the hub's layout, and downloads from a server that answers like "
"it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from echochamber.base import EchoError, InputError
from echochamber.corpora import (
    CORPORA,
    TokenizerConfig,
    build_mixture,
    hub,
    open_source,
    plan_mixture,
    refuse_evaluation_files,
    reserve_problems,
    tokenizing,
)
from echochamber.corpora.catalog import BENCHMARKS, Corpus
from echochamber.corpora.hub import HubSource, HubTask
from echochamber.corpora.mixtures import ControlledMixture, PassesMixture
from echochamber.corpora.stand_in import FILES, write_rows, write_stand_ins
from echochamber.corpora.tokenizer import train_bpe
from echochamber.formats import classify

sys.path.insert(0, str(Path(__file__).parent))
from hub_server import HubServer

COMMIT = "a" * 40


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("ECHOCHAMBER_HUB_MIRROR", raising=False)
    hub._repo.cache_clear()
    yield
    hub._repo.cache_clear()


def _corpus_rows(card: Corpus, count: int = 1100) -> list[dict]:
    rows = [{card.solution: f'The answer\nis {i}, "said" she.', "unused": i} for i in range(count)]
    return [{**row, card.question: f"Q {i}?"} for i, row in enumerate(rows)] if card.question else rows


@pytest.mark.parametrize("name", list(CORPORA))
def test_every_corpus_is_read_from_a_mirror(tmp_path: Path, name: str) -> None:
    card = CORPORA[name]
    write_rows(tmp_path / card.repo / FILES[name], _corpus_rows(card))
    source = HubSource(corpus=name, mirror=tmp_path)
    assert source.snapshot() == source.fingerprint()
    examples = list(open_source(source, seed=0))
    assert len(examples) == 1100 and examples[7].solution == 'The answer\nis 7, "said" she.'
    assert examples[7].question == ("Q 7?" if card.question else None)
    assert examples[7].format == card.format
    late = [e for chunk in source.chunks(seed=0, excluded=frozenset(), start=1) for e in chunk]
    assert late == examples[1000:]
    notes = source.notes()
    assert notes["revision"] == "unrecorded" and notes["license"] == card.license
    assert len(str(notes[f"sha256 {FILES[name]}"])) == 64
    assert source.estimated_tokens() and next(iter(source.fingerprint())).startswith(
        f"{card.repo}@unrecorded/"
    )


@pytest.mark.parametrize("name", list(BENCHMARKS))
def test_every_benchmark_is_read_from_a_mirror(tmp_path: Path, name: str) -> None:
    card = BENCHMARKS[name]
    extra = {card.level: "Level 4"} if card.level else {}
    answer = "work\n#### 1{}" if card.answer_pattern else "1{}"
    rows = [{card.question: f'P {i}, "why"?', card.answer: answer.format(i), **extra} for i in range(5)]
    if card.family:
        rows = [{**row, card.family: "Algebra"} for row in rows]
    write_rows(tmp_path / card.repo / FILES[name], rows)
    problems = reserve_problems({"t": HubTask(problems=name, mirror=tmp_path, num_problems=4)}, seed=0)["t"]
    assert [p.gold for p in problems] == ["10", "11", "12", "13"]
    assert problems[0].question == 'P 0, "why"?' and problems[0].rules == card.rules
    assert problems[0].level == (4 if card.level else 0) and problems[0].family == (
        "Algebra" if card.family else ""
    )


def test_stand_ins_are_read_as_the_corpora_they_stand_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_stand_ins(tmp_path / "hub", documents=40, problems=12)
    monkeypatch.setenv("ECHOCHAMBER_HUB_MIRROR", str(tmp_path / "hub"))
    tasks = {name: HubTask(problems=name) for name in BENCHMARKS if name != "gsm8k-train"}
    evaluation = reserve_problems(tasks, seed=0)
    asked = {problem.question for problems in evaluation.values() for problem in problems}
    assert len(asked) == 12 * len(tasks)
    for name, card in CORPORA.items():
        source = HubSource(corpus=name)
        assert source.is_local
        examples = list(open_source(source, seed=0))
        assert len(examples) == (12 if name == "gsm8k" else 40)
        assert not asked & {example.question for example in examples}
        if card.format is not None:
            assert {classify(example.solution) for example in examples} == {card.format}
    with pytest.raises(InputError, match="is not empty"):
        write_stand_ins(tmp_path / "hub")
    write_stand_ins(tmp_path / "again", documents=40, problems=12)
    for path in (tmp_path / "hub").rglob("*.jsonl"):
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(tmp_path / "hub")).read_bytes()


def test_a_source_cut_short_is_planned_as_such() -> None:
    assert HubSource(corpus="finemath-3plus", documents=1500).planned_tokens() == 1_500_000
    assert HubSource(corpus="gsm8k", documents=10**9).planned_tokens() == CORPORA["gsm8k"].tokens


def test_several_files_are_read_in_order_and_resumed_inside_one(tmp_path: Path) -> None:
    for suffix in ("parquet", "jsonl.zst", "jsonl.gz", "json"):
        repo = f"some/{suffix.replace('.', '-')}"
        for part in range(3):
            rows = [{"t": f"text {part * 700 + i}"} for i in range(700)]
            write_rows(tmp_path / repo / f"part-{part}.{suffix}", rows)
        source = HubSource(repo=repo, files=("part-*",), solution="t", mirror=tmp_path)
        examples = list(open_source(source, seed=0))
        assert [e.solution for e in examples] == [f"text {i}" for i in range(2100)]
        for start in (1, 2):
            late = [e for chunk in source.chunks(seed=0, excluded=frozenset(), start=start) for e in chunk]
            assert late == examples[start * 1000 :]


def test_the_clients_cache_is_a_mirror_too(tmp_path: Path) -> None:
    cached = tmp_path / "datasets--meta-math--MetaMathQA"
    card = CORPORA["metamathqa"]
    write_rows(cached / "snapshots" / COMMIT / FILES["metamathqa"], _corpus_rows(card, 3))
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(COMMIT)
    source = HubSource(corpus="metamathqa", revision="main", mirror=tmp_path)
    assert len(list(open_source(source, seed=0))) == 3
    assert source.notes()["revision"] == COMMIT
    with pytest.raises(InputError, match=f"holds no revision 'aa4f34d.*; it has {COMMIT}"):
        HubSource(corpus="metamathqa", mirror=tmp_path).fingerprint()


def test_a_mirror_of_another_revision_is_refused(tmp_path: Path) -> None:
    card = CORPORA["metamathqa"]
    folder = tmp_path / card.repo
    write_rows(folder / FILES["metamathqa"], _corpus_rows(card, 3))
    note = folder / ".cache" / "huggingface" / "download" / f"{FILES['metamathqa']}.metadata"
    note.parent.mkdir(parents=True)
    note.write_text(f"{COMMIT}\netag\n1.0\n")
    with pytest.raises(InputError, match=f"holds revision {COMMIT} of .*, the study asks for aa4f"):
        HubSource(corpus="metamathqa", mirror=tmp_path).fingerprint()
    assert HubSource(corpus="metamathqa", revision=COMMIT, mirror=tmp_path).notes()["revision"] == COMMIT


def test_mistakes_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="unknown corpus 'tinygms'.*Did you mean 'tinygsm'"):
        HubSource(corpus="tinygms")
    with pytest.raises(ValidationError, match="expected corpus, or repo with files and solution"):
        HubSource(repo="a/b")
    with pytest.raises(ValidationError, match="Did you mean 'gsm8k-test'"):
        HubTask(problems="gsm8k-tset")
    with pytest.raises(InputError, match="'TinyGSM/TinyGSM' is not in the mirror"):
        HubSource(corpus="tinygsm", mirror=tmp_path).fingerprint()
    with pytest.raises(InputError, match="is not a folder"):
        HubSource(corpus="tinygsm", mirror=tmp_path / "none").fingerprint()
    write_rows(tmp_path / "TinyGSM/TinyGSM/README.md", [{}])
    with pytest.raises(InputError, match=r"holds no file like .*it has README\.md"):
        HubSource(corpus="tinygsm", mirror=tmp_path).fingerprint()
    card = CORPORA["openmathinstruct-2"]
    write_rows(tmp_path / card.repo / FILES["openmathinstruct-2"], [{"problem": "p", "solution": "s"}])
    with pytest.raises(InputError, match="no field 'generated_solution'; it has problem, solution"):
        list(open_source(HubSource(corpus="openmathinstruct-2", mirror=tmp_path), seed=0))


def test_a_plan_needs_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "open_repo", lambda *a, **k: pytest.fail("asked the hub"))
    sources = {name: HubSource(corpus=name) for name in CORPORA}
    assert sources["tinygsm"].fingerprint()["TinyGSM/TinyGSM@newest/*.jsonl*"] == "on the hub"
    assert all(HubTask(problems=name).fingerprint() for name in BENCHMARKS)
    plan = plan_mixture(PassesMixture(passes={"tinygsm": 4, "openmathinstruct-1": 1}), sources)
    assert [(s.tokens, s.passes) for s in plan.sources] == [(7_200_000_000, 4.0), (480_000_000, 1.0)]
    assert plan.sources[0].tokens_on_disk == 1_800_000_000
    controlled = plan_mixture(ControlledMixture(tokens=3_600_000_000, shares={"tinygsm": 1}), sources)
    assert controlled.sources[0].passes == 2.0


def test_a_disk_too_small_is_refused_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10_000_000))
    monkeypatch.setattr(hub, "open_repo", lambda *a, **k: pytest.fail("asked the hub"))
    sources = {"tinygsm": HubSource(corpus="tinygsm")}
    monkeypatch.setattr(HubSource, "snapshot", lambda self: {})
    with pytest.raises(InputError, match=r"need about 4\.5 GB in .*, where 0\.0 GB are free"):
        build_mixture(
            PassesMixture(passes={"tinygsm": 4}), sources, train_bpe(TokenizerConfig(), iter(["a"])),
            tmp_path, seed=0,
        )  # fmt: skip


def test_tokenizing_a_mirror_goes_on_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizing, "_CHUNKS_PER_SAVE", 1)
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    sources = {}
    for suffix in ("parquet", "jsonl.zst"):
        repo = f"some/{suffix.replace('.', '-')}"
        for part in range(2):
            rows = [
                {"q": f"What is {i}?", "s": f"It is {i}."} for i in range(part * 1300, part * 1300 + 1300)
            ]
            write_rows(tmp_path / "mirror" / repo / f"part-{part}.{suffix}", rows)
        name = suffix.replace(".", "_")
        sources[name] = HubSource(
            repo=repo, files=("part-*",), question="q", solution="s", mirror=tmp_path / "mirror"
        )
    tokenizer = train_bpe(TokenizerConfig(vocab_size=300), iter(["What is 1? It is 1."]))
    mixture = PassesMixture(passes={"parquet": 1, "jsonl_zst": 2})

    def build(folder: Path) -> None:
        build_mixture(mixture, sources, tokenizer, folder, seed=0)

    def contents(folder: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}

    build(tmp_path / "whole")
    for count in (2, 9, 14, 19, 23, 28, 33):
        folder = tmp_path / f"killed-{count}"
        child = os.fork()
        if child == 0:
            os.environ["ECHOCHAMBER_FAULT"] = f"*:{count}"
            try:
                build(folder)
            finally:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        build(folder)
        assert contents(folder) == contents(tmp_path / "whole"), count


def test_a_hub_evaluation_set_is_no_source(tmp_path: Path) -> None:
    for name in ("gsm8k-train", "gsm8k-test"):
        rows = [{"question": f"What is in {name}?", "answer": "#### 1"}]
        write_rows(tmp_path / "openai/gsm8k" / FILES[name], rows)
    evaluations = {"test": HubTask(problems="gsm8k-test", mirror=tmp_path)}
    refuse_evaluation_files({"a": HubSource(corpus="gsm8k", mirror=tmp_path)}, evaluations)
    wrong = HubSource(corpus="gsm8k", files=("main/*.parquet",), mirror=tmp_path)
    with pytest.raises(InputError, match="which is the evaluation set 'test'"):
        refuse_evaluation_files({"a": wrong}, evaluations)


def _use(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    import huggingface_hub
    from huggingface_hub.hf_api import HfApi as client  # noqa: N813

    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: client(endpoint=endpoint))


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "served"
    for part in range(3):
        write_rows(folder / f"data/train-{part}.parquet", [{"q": f"Q{part}{i}", "s": "S"} for i in range(4)])
    running = HubServer("some/corpus", folder)
    _use(monkeypatch, running.endpoint)
    yield running
    running.close()


def _source(**changed: object) -> HubSource:
    options: dict = {"repo": "some/corpus", "files": ("data/*.parquet",), "question": "q", "solution": "s"}
    return HubSource(**{**options, **changed})


def test_downloads_are_pinned_checked_and_kept(server: HubServer, tmp_path: Path) -> None:
    source = _source()
    assert [e.question for e in open_source(source, seed=0)][::4] == [
        "Q00",
        "Q10",
        "Q20",
    ]
    assert source.notes()["revision"] == server.commit
    fetched = [path for method, path, _ in server.requests if method == "GET" and "/resolve/" in path]
    assert len(fetched) == 3
    server.requests.clear()
    hub._repo.cache_clear()
    assert len(list(open_source(source, seed=0))) == 12
    assert not [path for _, path, _ in server.requests if "/resolve/" in path], "nothing is downloaded twice"
    # The newest revision moved on: the pinned one is asked for, and here it is gone.
    server.commit = "2" * 40
    hub._repo.cache_clear()
    with pytest.raises(InputError, match=f"'some/corpus' has no revision '{'1' * 40}'"):
        source.snapshot()
    hub._repo.cache_clear()
    assert next(iter(_source(revision="2" * 40).snapshot())).startswith(f"some/corpus@{'2' * 40}/")


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        ((403, "GatedRepo"), "is gated: accept its terms at https://huggingface.co/datasets/some/corpus"),
        ((404, "RepoNotFound"), "the hub has no dataset 'some/corpus', or it is private"),
        ((404, "RevisionNotFound"), "has no revision 'main'"),
    ],
)
def test_refusals_are_sentences(server: HubServer, refusal: tuple[int, str], message: str) -> None:
    server.refusal = refusal
    with pytest.raises(InputError, match=message):
        _source(revision="main").snapshot()


def test_a_corrupted_download_is_refused(server: HubServer) -> None:
    server.corrupt = True
    with pytest.raises(EchoError, match="SHA-256 is not the hub's"):
        list(open_source(_source(), seed=0))
    server.corrupt = False
    assert len(list(open_source(_source(), seed=0))) == 12


def test_a_download_that_nobody_has_checked_is_checked(server: HubServer) -> None:
    expected = list(open_source(_source(), seed=0))
    repo = _source()._open()
    file = repo.files(("data/*.parquet",))[0]
    blob = repo.fetch(file).resolve()
    content = blob.read_bytes()
    blob.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises(EchoError, match="SHA-256 is not the hub's"):
        list(open_source(_source(), seed=0))
    assert list(open_source(_source(), seed=0)) == expected


def test_an_unreachable_hub_is_a_sentence(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    _use(monkeypatch, "http://127.0.0.1:9")
    with pytest.raises(InputError, match="the hub cannot be reached for 'some/corpus'"):
        _source().snapshot()
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"pip install 'echochamber\[hf\]'"):
        _source().snapshot()
