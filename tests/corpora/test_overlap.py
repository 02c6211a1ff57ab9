"""Contamination: by words for files, by key for generated problems; an evaluation set stops the run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from echochamber.base import InputError, Problem
from echochamber.corpora import (
    Example,
    OverlapIndex,
    TokenizerConfig,
    WordProblemsSource,
    build_mixture,
    refuse_evaluation_files,
    reserve_problems,
)
from echochamber.corpora.gsm8k_corpus import Gsm8kSource, Gsm8kTask
from echochamber.corpora.identity import text_key
from echochamber.corpora.local_files import JsonlSource
from echochamber.corpora.mixtures import ControlledMixture, PassesMixture
from echochamber.corpora.tokenizer import train_bpe
from echochamber.corpora.word_problems import WordProblemsTask

LONG = "Anna walks from her house to the old mill and back every day. How many miles is that in 30 days?"
OTHER = "A farmer plants seven rows of maize beside the river in spring. How many plants does he have in May?"


def _problem(question: str) -> Problem:
    return Problem(key=text_key(question), question=question, gold="1")


def _example(question: str | None, solution: str = "It is 1.") -> Example:
    return Example(text_key(question or solution), question, solution, None, True)


def _scan(example: Example) -> dict:
    index = OverlapIndex({"test": [_problem(LONG), _problem(OTHER), _problem("How many?")]})
    hits = index.empty_hits()
    index.scan([example], hits, generated=False)
    return index.report(hits)["test"]


@pytest.mark.parametrize(
    ("example", "exact", "ngram"),
    [
        (_example(LONG), 1, 1),
        (_example(LONG.upper().replace(".", ": ").replace("house", "house, ")), 1, 1),
        # 13 words in a row, inside another question, a solution, and a raw text.
        (_example("Today Anna walks from her house to the old mill and back every hour."), 0, 0),
        (_example("Today Anna walks from her house to the old mill and back every day, she says."), 0, 1),
        # The whole question, inside a solution and a raw text.
        (_example("Unrelated?", LONG), 1, 1),
        (_example(None, "Text. " + OTHER + LONG), 2, 2),
        (_example("Q: " + LONG + " Think step by step."), 1, 1),
        (_example("How many?"), 1, 1),
        (_example("How many? Ten."), 0, 0),
        (_example("Nothing in common here."), 0, 0),
    ],
)  # fmt: skip
def test_exact_and_thirteen_words(example: Example, exact: int, ngram: int) -> None:
    report = _scan(example)
    assert (report["problems"], report["exact"], report["ngram"]) == (3, exact, ngram)
    assert report["shorter_than_ngram"] == 1
    assert len(report["examples"]) == ngram


def test_generated_sources_are_compared_by_structure() -> None:
    problems = reserve_problems({"test": WordProblemsTask(num_problems=3)}, seed=0)["test"]
    index = OverlapIndex({"test": problems})
    hits = index.empty_hits()
    same_words = Example("(2+99)", problems[0].question, "", "boxed", True)
    key = problems[1].structure
    other_words = Example(key, "Another story about the same numbers.", "", "boxed", True, key)
    index.scan([same_words, other_words], hits, generated=True)
    assert hits["test"].structure == {1} and not hits["test"].exact | hits["test"].partial


def _write(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_manifest_reports_overlap_and_a_kill_does_not_lose_it(tmp_path: Path) -> None:
    questions = [f"{LONG} And what about year {i}?" for i in range(40)]
    path = _write(tmp_path / "a.jsonl", [{"question": q, "solution": "1"} for q in questions])
    tokenizer = train_bpe(TokenizerConfig(vocab_size=300), iter(questions))
    sources = {"file": JsonlSource(path=path), "words": WordProblemsSource(format="boxed")}
    evaluations = {"test": [_problem(questions[3]), *(_problem(f"{OTHER} {i}") for i in range(5))]}
    mixture = ControlledMixture(tokens=3000, shares={"file": 0.5, "words": 0.5})
    manifest = build_mixture(
        mixture, sources, tokenizer, tmp_path / "data", seed=0, evaluations=evaluations, max_leaked_share=0.5
    )
    file = manifest["sources"]["file"]["overlap"]["test"]
    assert (file["problems"], file["exact"], file["ngram"], file["ngram_words"]) == (6, 1, 1, 13)
    words = manifest["sources"]["words"]["overlap"]["test"]
    assert (words["exact"], words["ngram"]) == (0, 0)


def test_an_evaluation_set_under_another_name_stops_the_build(tmp_path: Path) -> None:
    questions = [f"{LONG} And what about year {i}?" for i in range(40)]
    path = _write(tmp_path / "train.jsonl", [{"question": q.upper(), "solution": "1"} for q in questions])
    tokenizer = train_bpe(TokenizerConfig(vocab_size=300), iter(questions))
    with pytest.raises(InputError, match=r"source 'file' holds \d+ of the 30 problems of the eval.*'test'"):
        build_mixture(
            PassesMixture(passes={"file": 1}), {"file": JsonlSource(path=path)}, tokenizer, tmp_path / "data",
            seed=0, evaluations={"test": [_problem(q) for q in questions[:30]]},
        )  # fmt: skip


def test_the_file_of_an_evaluation_task_is_no_source(tmp_path: Path) -> None:
    rows = [{"question": LONG, "answer": "<<1+1=2>>2\n#### 2"}]
    test, train = _write(tmp_path / "test.jsonl", rows), _write(tmp_path / "train.jsonl", [*rows, *rows])
    copy = _write(tmp_path / "copy.jsonl", rows)
    evaluations = {"gsm8k": Gsm8kTask(path=test), "words": WordProblemsTask()}
    refuse_evaluation_files(
        {"a": Gsm8kSource(path=train), "b": WordProblemsSource(format="boxed")}, evaluations
    )
    for path in (test, copy):
        with pytest.raises(InputError, match="source 'a' reads .* which is the evaluation set 'gsm8k'"):
            refuse_evaluation_files({"a": Gsm8kSource(path=path)}, evaluations)
    with pytest.raises(InputError, match="cannot read"):
        refuse_evaluation_files({"a": Gsm8kSource(path=tmp_path / "none")}, evaluations)
