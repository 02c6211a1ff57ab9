"""A study end to end: what a run folder holds, and that its numbers can be recomputed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from echochamber.base import InputError, listening, read_json
from echochamber.evaluation import SCHEMA
from echochamber.study import Study, open_study, run_study, status_rows
from echochamber.verify import grade_file

ROW_KEYS = {
    "arm", "algorithm", "size", "mixture", "seed", "sweep", "benchmark", "step", "num_problems",
    "num_samples", "temperature", "greedy", "pass_at", "maj_at", "share", "accuracy", "mean_tokens",
}  # fmt: skip


def test_run_folder_explains_itself(finished: Study) -> None:
    assert read_json(finished.folder / "plan.json")["schema"] == SCHEMA
    names = {path.name for path in finished.folder.iterdir()}
    assert names >= {
        "study.yaml", "environment.json", "plan.json", "metrics.jsonl", "summary.json", "report.html",
        "completions", "figures", "store",
    }  # fmt: skip
    assert "lock" not in names
    assert read_json(finished.folder / "environment.json")["torch"]


def test_summary_rows(finished: Study) -> None:
    summary = read_json(finished.folder / "summary.json")
    assert set(summary) == {"schema", "study", "questions", "rows", "seconds", "endpoints", "findings"}
    assert summary["study"] == "tiny"
    for row in summary["rows"]:
        assert set(row) >= ROW_KEYS
        assert sum(row["share"].values()) == pytest.approx(1.0, abs=1e-9)
    cells = {(row["arm"], row["step"], row["greedy"]) for row in summary["rows"]}
    assert cells == {
        (arm, step, greedy)
        for arm, step in [("base", 0), ("grpo", 0), ("grpo", 2)]
        for greedy in (True, False)
    }
    assert all(seconds >= 0 for seconds in summary["seconds"].values())
    assert len(summary["seconds"]) == len(finished.plan.stages)


def test_grading_the_parquet_rows_again_gives_the_summary(finished: Study, tmp_path: Path) -> None:
    rows = {
        (row["arm"], row["step"], row["greedy"]): row
        for row in read_json(finished.folder / "summary.json")["rows"]
    }
    seen = 0
    for part in sorted((finished.folder / "completions").glob("*.parquet")):
        table = pq.read_table(part).to_pylist()
        for greedy in (True, False):
            chosen = [row for row in table if row["greedy"] is greedy]
            path = tmp_path / f"{part.stem}-{greedy}.jsonl"
            path.write_text("".join(json.dumps(row) + "\n" for row in chosen))
            graded = grade_file(path, completion="completion", gold="gold")
            expected = rows[chosen[0]["arm"], chosen[0]["step"], greedy]
            assert graded.mean_reward == pytest.approx(expected["pass_at"]["1"], abs=1e-12)
            assert graded.share == pytest.approx(expected["share"], abs=1e-12)
            seen += 1
    assert seen == 6


def test_second_run_answers_from_the_store_with_the_same_bytes(finished: Study, tmp_path: Path) -> None:
    before = {p.name: p.read_bytes() for p in (finished.folder / "completions").iterdir()}
    before |= {name: (finished.folder / name).read_bytes() for name in ("metrics.jsonl", "summary.json")}
    lines: list[str] = []
    with listening(lines.append):
        run_study(finished)
    assert sum("in the store" in line for line in lines) == len(finished.plan.stages)
    after = {p.name: p.read_bytes() for p in (finished.folder / "completions").iterdir()}
    after |= {name: (finished.folder / name).read_bytes() for name in ("metrics.jsonl", "summary.json")}
    assert before == after


def test_same_study_elsewhere_gives_the_same_bytes(finished: Study, tiny_file: Path, tmp_path: Path) -> None:
    other = open_study(tiny_file, runs=tmp_path)
    run_study(other)
    for stage in finished.plan.stages:
        for name in read_json(finished.store.path(stage) / "manifest.json")["files"]:
            mine, theirs = finished.store.path(stage) / name, other.store.path(stage) / name
            assert mine.read_bytes() == theirs.read_bytes(), f"{stage.title}: {name}"
    assert (finished.folder / "metrics.jsonl").read_bytes() == (other.folder / "metrics.jsonl").read_bytes()


def test_finished_stages_keep_no_scratch(finished: Study) -> None:
    names = {path.name for path in finished.store.folder.rglob("*")}
    assert not names & {"checkpoints", "verdicts.jsonl"}
    assert not [name for name in names if name.endswith((".tmp", ".partial"))]


def test_status_shows_done_waiting_and_unused(finished: Study, tiny_file: Path) -> None:
    assert {row["state"] for row in status_rows(finished)} == {"done"}
    changed = open_study(tiny_file, ["pretrain.optimizer.learning_rate=1e-3"], finished.folder.parent)
    rows = {row["stage"]: row for row in status_rows(changed)}
    assert rows["draw the problem sets"]["state"] == rows["tokenize the mixture even"]["state"] == "done"
    assert rows["pretrain pico on even, seed 3"]["state"] == "waiting"
    older = rows["older version of 'pretrain pico on even, seed 3'"]
    assert older["state"] == "unused"
    assert older["note"] == "changed: pretrain.optimizer.learning_rate 0.004 -> 0.001"
    arm = rows["older version of 'grpo pico on even, seed 3'"]
    assert arm["note"].startswith("changed: its input 'start'")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("tasks.test.num_problems=5000", "asks for 5000 problems"),
        ("evaluation.max_new_tokens=90", "exceeds the model's context of 96"),
    ],
)
def test_a_study_that_cannot_run_leaves_nothing(
    tiny_file: Path, tmp_path: Path, change: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        run_study(open_study(tiny_file, [change], tmp_path / "runs"))
    assert not list(tmp_path.iterdir())


def test_an_input_error_keeps_an_earlier_run(finished: Study, tiny_file: Path, tmp_path: Path) -> None:
    shutil.copytree(finished.folder, tmp_path / "tiny")
    with pytest.raises(InputError):
        run_study(open_study(tiny_file, ["evaluation.max_new_tokens=90"], tmp_path))
    assert {row["state"] for row in status_rows(open_study(tiny_file, runs=tmp_path))} <= {"done", "unused"}


def test_gsm8k_files_take_the_whole_path(tmp_path: Path) -> None:
    """The published layout, in small: annotated solutions in, four formats trained, test questions graded."""
    folder = tmp_path / "gsm8k"
    folder.mkdir()
    for name, start, count in (("train", 3, 40), ("test", 60, 8)):
        lines = []
        for n in range(start, start + count):
            question = (
                f"Ann has {n} red pens and {n + 1} blue pens. She gives {n - 1} away. How many are left?"
            )
            answer = (
                f"She has {n}+{n + 1}=<<{n}+{n + 1}={2 * n + 1}>>{2 * n + 1} pens.\n"
                f"Then {2 * n + 1}-{n - 1}=<<{2 * n + 1}-{n - 1}={n + 2}>>{n + 2} are left.\n#### {n + 2}"
            )
            lines.append(json.dumps({"question": question, "answer": answer}) + "\n")
        (folder / f"{name}.jsonl").write_text("".join(lines))
    changes = [
        f"variables.gsm8k={folder}", "model={sizes: [pico], context_length: 256}", "tokenizer.vocab_size=400",
        "pretrain={batch_size: 2, sequence_length: 64, steps: 3}", "arms.grpo.steps=1",
        "arms.grpo.prompts_per_step=2", "arms.grpo.max_new_tokens=32", "evaluation.num_problems=4",
        "evaluation.num_samples=2", "evaluation.max_new_tokens=32", "evaluation.num_points=2",
    ]  # fmt: skip
    study = open_study(Path(__file__).parents[2] / "studies" / "gsm8k.yaml", changes, tmp_path / "runs")
    run_study(study)
    rows = read_json(study.folder / "summary.json")["rows"]
    assert {(row["arm"], row["step"]) for row in rows} == {("base", 0), ("grpo", 0), ("grpo", 1)}
    manifest = read_json(next(study.store.folder.glob("mixture-*/data/manifest.json")))
    # Two of the forty are held out for the loss.
    assert {source["documents"] for source in manifest["sources"].values()} == {38}


def test_training_on_the_evaluation_file_is_refused(tmp_path: Path) -> None:
    lines = [
        json.dumps({"question": f"What is {n} + 1?", "answer": f"#### {n + 1}"}) + "\n" for n in range(9)
    ]
    (tmp_path / "train.jsonl").write_text("".join(lines))
    (tmp_path / "test.jsonl").write_text("".join(lines))
    with pytest.raises(InputError, match="which is the evaluation set 'test'"):
        open_study(
            Path(__file__).parents[2] / "studies" / "gsm8k.yaml",
            [f"variables.gsm8k={tmp_path}"],
            tmp_path / "runs",
        )


def test_a_stage_begun_by_other_code_is_refused(tiny_file: Path, tmp_path: Path) -> None:
    study = open_study(tiny_file, runs=tmp_path)
    stage = study.plan.stages[0]
    folder = study.store.begin(stage)
    record = read_json(folder / "code.json")
    record["train/step.py"] = "0" * 64
    (folder / "code.json").write_text(json.dumps(record))
    with pytest.raises(
        InputError, match=r"half finished by another version of the code \(changed since: train/step.py\)"
    ):
        run_study(study, only=("questions",))
    assert folder.is_dir()
    run_study(study, only=("questions",), force=True)
    assert study.store.state(stage) == "done"


def test_tier_2_is_refused_before_any_work_where_it_cannot_be_confined(
    tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise InputError("tier 2 cannot be confined here")

    monkeypatch.setattr("echochamber.verify.require_confinement", refuse)
    study = open_study(tiny_file, ["verify.tiers=[1, 2]"], tmp_path / "runs")
    with pytest.raises(InputError, match="cannot be confined here"):
        run_study(study)
    assert not list(tmp_path.iterdir())
