"""What stages refuse in a study's data before anything is trained: gold answers, leaks, grammars, twins."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from echochamber.base import EchoError, InputError, listening
from echochamber.study import Study, open_study, run_study
from echochamber.study.stages import measured_paths

STUDY = """
study: checked
tasks:
  test: {{kind: jsonl, path: {folder}/test.jsonl}}
  train: {{kind: word_problems, num_problems: 16, levels: [1], largest: 9}}
sources:
  web: {{kind: jsonl, path: {folder}/web.jsonl}}
tokenizer: {{vocab_size: 300}}
mixtures:
  all: {{kind: passes, passes: {{web: 1}}}}
model: {{sizes: [pico], context_length: 96}}
pretrain: {{batch_size: 4, sequence_length: 32, steps: 2}}
evaluation: {{benchmarks: [test], num_samples: 2, max_new_tokens: 8, num_points: 2}}
arms:
  tuned:
    algorithm: sft
    steps: 1
    batch_size: 4
    num_documents: 50
    source: {{kind: jsonl, path: {folder}/tune.jsonl}}
"""

QUESTIONS = [
    f"Tom has {i} red pens and buys {i + 3} blue ones. How many pens has he now?" for i in range(200)
]
OTHERS = [f"There are {i} birds on a roof, and {i + 2} fly away. How many stay?" for i in range(300)]


def _write(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _documents(questions: list[str]) -> list[dict]:
    return [{"question": question, "solution": "It is 7."} for question in questions]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    _write(tmp_path / "test.jsonl", [{"question": q, "answer": 2 * i + 3} for i, q in enumerate(QUESTIONS)])
    _write(tmp_path / "web.jsonl", _documents(OTHERS))
    _write(tmp_path / "tune.jsonl", _documents(OTHERS[:100]))
    (tmp_path / "study.yaml").write_text(STUDY.format(folder=tmp_path))
    return tmp_path


def _open(folder: Path, *overrides: str) -> Study:
    return open_study(folder / "study.yaml", overrides, folder / "runs")


def _keys(study: Study) -> dict[str, str]:
    return {stage.title: stage.key for stage in study.plan.stages}


def _prepare(study: Study) -> list[str]:
    said: list[str] = []
    with listening(said.append):
        run_study(study, only=("questions", "problems", "documents", "tokenizer", "check", "mixture"))
    return said


@pytest.mark.parametrize("gold", ["about 85", "", "  ", "NaN", "inf"])
def test_a_gold_answer_that_cannot_be_graded_is_found_while_planning(folder: Path, gold: str) -> None:
    rows = [json.loads(line) for line in (folder / "test.jsonl").read_text().splitlines()]
    rows[3]["answer"] = gold
    _write(folder / "test.jsonl", rows)
    with pytest.raises(InputError, match=r"task 'test': .*test\.jsonl:4: .*gold answer"):
        _open(folder)
    # A row that the task does not take may hold anything.
    _open(folder, "tasks.test.num_problems=3")


def test_the_same_is_found_in_the_first_stage_where_a_plan_does_not_read_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("echochamber.corpora.tasks._MOST_BYTES_WHILE_PLANNING", 10)
    _write(folder / "test.jsonl", [{"question": "One?", "answer": 1}, {"question": "Two?", "answer": "two"}])
    study = _open(folder)
    with pytest.raises(EchoError, match=r"test\.jsonl:2: .*'two' is not a number"):
        _prepare(study)
    assert not [
        path for path in study.folder.glob("store/*") if path.name.startswith(("tokenizer", "mixture"))
    ]


def test_a_corrected_gold_answer_retrains_nothing(folder: Path) -> None:
    before = _keys(_open(folder))
    rows = [json.loads(line) for line in (folder / "test.jsonl").read_text().splitlines()]
    rows[5]["answer"] = 999
    _write(folder / "test.jsonl", rows)
    after = _keys(_open(folder))
    changed = {title.split()[0] for title in before if before[title] != after[title]}
    assert changed == {"draw", "evaluate", "tuned"}  # the graded problem sets, and what is measured on them
    assert before["draw the questions"] == after["draw the questions"]
    assert before["draw the problem sets"] != after["draw the problem sets"]
    rows[5]["question"] += " Count them."
    _write(folder / "test.jsonl", rows)
    asked = _keys(_open(folder))
    assert all(asked[title] != after[title] for title in after)


def test_the_same_for_published_solutions(folder: Path) -> None:
    def write(gold: int, second: int) -> None:
        answer = f"He has <<3+{second}={3 + second}>>{3 + second}.\n#### {gold}"
        _write(folder / "g.jsonl", [{"question": "Tom has 3 and 4 of them?", "answer": answer}])

    settings = (f"tasks.test={{kind: gsm8k, path: {folder}/g.jsonl}}",)
    found = []
    for gold, second in ((8, 4), (7, 4), (7, 5)):
        write(gold, second)
        found.append(_keys(_open(folder, *settings)))
    pretrain = next(title for title in found[0] if title.startswith("pretrain"))
    assert found[0][pretrain] == found[1][pretrain] != found[2][pretrain]
    assert found[0]["draw the problem sets"] != found[1]["draw the problem sets"]


def _copy(source: Path, target: Path) -> None:
    shutil.copy(source, target)


def _compress(source: Path, target: Path) -> None:
    target.write_bytes(gzip.compress(source.read_bytes()))


@pytest.mark.parametrize("place", ["sources.web", "arms.tuned.source"])
@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("test.jsonl", None), ("copy.jsonl", _copy), ("link.jsonl", os.symlink), ("hard.jsonl", os.link),
        ("copy.jsonl.gz", _compress),
    ],
)  # fmt: skip
def test_the_file_of_a_benchmark_is_no_training_data_whatever_it_is_called(
    folder: Path, place: str, name: str, make: Callable[[Path, Path], None] | None
) -> None:
    if make is not None:
        make(folder / "test.jsonl", folder / name)
    source = f"{{kind: jsonl, path: {folder}/{name}, solution: answer}}"
    with pytest.raises(
        InputError, match=rf"source '[a-z.]+' reads .*{name}, which is the evaluation set 'test'"
    ):
        _open(folder, f"{place}={source}")


def _as_parquet(folder: Path, questions: list[str]) -> str:
    pq.write_table(pa.Table.from_pylist(_documents(questions)), folder / "leak.parquet")
    return f"{{kind: parquet, path: {folder}/leak.parquet}}"


def _as_raw_text(folder: Path, questions: list[str]) -> str:
    _write(folder / "leak.jsonl", [{"text": f"Exercise: {q} The answer is 7."} for q in questions])
    return f"{{kind: jsonl, path: {folder}/leak.jsonl, question: null, solution: text}}"


def _in_capitals(folder: Path, questions: list[str]) -> str:
    _write(folder / "leak.jsonl", _documents([f"  {q.upper().replace(' ', '  ')}" for q in questions]))
    return f"{{kind: jsonl, path: {folder}/leak.jsonl}}"


@pytest.mark.parametrize("place", ["sources.web", "arms.tuned.source"])
@pytest.mark.parametrize("write", [_as_parquet, _as_raw_text, _in_capitals])
def test_questions_word_for_word_in_training_documents_stop_the_run(
    folder: Path, place: str, write: Callable[[Path, list[str]], str]
) -> None:
    settings = (f"{place}={write(folder, [*QUESTIONS[:94], *OTHERS])}", "arms.tuned.num_documents=300")
    study = _open(folder, *settings)
    message = r"source '.*' holds 94 of the 200 problems of the evaluation set 'test' word for word \(47.0%"
    with pytest.raises(EchoError, match=message) as caught:
        _prepare(study)
    assert QUESTIONS[0] in str(caught.value) and "max_leaked_share" in str(caught.value)


def test_few_questions_are_left_out_and_reported(folder: Path) -> None:
    _write(folder / "web.jsonl", _documents([*QUESTIONS[:2], *OTHERS]))
    study = _open(folder)
    _prepare(study)
    mixture = next(stage for stage in study.plan.stages if stage.kind == "mixture")
    manifest = json.loads((study.store.path(mixture) / "data" / "manifest.json").read_text())
    web = manifest["sources"]["web"]
    assert (web["overlap"]["test"]["exact"], web["left_out"]) == (2, 2)
    assert web["documents"] + web["heldout"]["documents"] == len(OTHERS)
    assert manifest["overlap"]["test"]["exact"] == 2
    with pytest.raises(EchoError, match="holds 2 of the 200"):
        _prepare(_open(folder, "max_leaked_share=0.005", "study=stricter"))


def test_rows_left_out_are_reported(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = [json.loads(line) for line in (folder / "test.jsonl").read_text().splitlines()]
    _write(folder / "test.jsonl", [*rows, rows[0]])
    study = _open(folder)
    run_study(study, only=("questions",))
    assert "task 'test': 1 rows left out: question already in this set" in capfd.readouterr().out
    sets = json.loads((study.store.path(study.plan.stages[0]) / "sets.json").read_text())
    assert sets["test"] == {"problems": 200, "left_out": {"question already in this set": 1}, "overlap": {}}


def test_post_training_on_quoted_questions_stops_the_run(folder: Path) -> None:
    _write(
        folder / "rl.jsonl", [{"question": f"Problem 1. {q} Explain.", "answer": 1} for q in QUESTIONS[:9]]
    )
    study = _open(folder, f"tasks.train={{kind: jsonl, path: {folder}/rl.jsonl}}")
    with pytest.raises(EchoError, match="the task 'train' holds 9 of the 200 problems"):
        _prepare(study)


def test_a_grammar_too_small_is_refused_while_planning(tiny_file: Path) -> None:
    with pytest.raises(InputError, match=r"task 'test': asks for 120 problems of 1 operation.*only 106 diff"):
        open_study(tiny_file, ["tasks.test.num_problems=120"])
    with pytest.raises(
        InputError, match=r"task 'train': asks for 60 .* 106 .* 50 are reserved .* 56 are left"
    ):
        open_study(tiny_file, ["tasks.test.num_problems=50", "tasks.train.num_problems=60"])
    message = (
        r"the source 'code': .* has 106 different structures, 100 of them are reserved .* and 6 are left"
    )
    with pytest.raises(InputError, match=message):
        open_study(tiny_file, ["tasks.test.num_problems=50", "tasks.train.num_problems=50"])


def test_tables_come_benchmark_by_benchmark_in_the_study_s_order(tmp_path: Path) -> None:
    names = ["aime-00000000", "aime-00000010", "math-500-00000000", "zeta-00000000", "zeta-00000010"]
    for name in names:
        (tmp_path / f"{name}.parquet").touch()
    measured = measured_paths(tmp_path, ["zeta", "math-500", "aime"])
    assert [benchmark for benchmark, _ in measured] == ["zeta", "zeta", "math-500", "aime", "aime"]
    found = [path.stem for _, path in measured]
    assert found == [
        "zeta-00000000", "zeta-00000010", "math-500-00000000", "aime-00000000", "aime-00000010",
    ]  # fmt: skip
