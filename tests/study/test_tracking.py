"""Metrics reach trackers as they are written, each row once, whatever is killed; no result depends on it."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from echochamber.base import InputError, listening
from echochamber.study import Study, TrackedRun, open_study, register_tracker, run_study, tracking


class Remembering:
    """A tracker that records what it receives; `trouble` makes the next row fail."""

    def __init__(self) -> None:
        self.started: list[TrackedRun] = []
        self.rows: dict[str, list[tuple[int, dict[str, float]]]] = {}
        self.measured: dict[str, dict[str, float]] = {}
        self.closed = 0
        self.trouble = False

    where = "in memory"

    def start(self, run: TrackedRun) -> None:
        self.started.append(run)

    def log(self, run: TrackedRun, step: int, values: Mapping[str, float]) -> None:
        if self.trouble:
            raise ConnectionError("nobody answers")
        self.rows.setdefault(run.name, []).append((step, dict(values)))

    def results(self, run: TrackedRun, values: Mapping[str, float]) -> None:
        self.measured[run.name] = dict(values)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Remembering]:
    tracker = Remembering()
    monkeypatch.setattr(tracking.TRACKERS, "_entries", dict(tracking.TRACKERS._entries))
    register_tracker("memory", lambda study, folder: tracker)
    yield tracker


@pytest.fixture
def copy(finished: Study, tiny_file: Path, tmp_path: Path) -> Study:
    shutil.copytree(finished.folder, tmp_path / "tiny")
    return open_study(tiny_file, runs=tmp_path)


def steps(path: Path) -> list[int]:
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


def test_every_row_of_a_finished_study_is_sent_once_and_its_results(copy: Study, memory: Remembering) -> None:
    lines: list[str] = []
    with listening(lines.append):
        run_study(copy, track=["memory"])
    pretrain, arm = (next(s for s in copy.plan.stages if s.kind == kind) for kind in ("pretrain", "arm"))
    assert [run.name for run in memory.started] == ["pretrain-pico-even-seed3", "grpo-pico-even-seed3"]
    for name, stage in (("pretrain-pico-even-seed3", pretrain), ("grpo-pico-even-seed3", arm)):
        assert [step for step, _ in memory.rows[name]] == steps(copy.store.path(stage) / "metrics.jsonl")
    first = memory.rows["pretrain-pico-even-seed3"][0][1]
    assert {"heldout/code", "heldout/prose"} <= first.keys()
    assert 0 <= memory.measured["grpo-pico-even-seed3"]["test/pass@1"] <= 1
    assert set(memory.measured) == {"pretrain-pico-even-seed3", "grpo-pico-even-seed3"}
    assert "memory: in memory" in lines and memory.closed == 1
    before = {name: list(rows) for name, rows in memory.rows.items()}
    run_study(copy, track=["memory"])
    assert memory.rows == before and memory.closed == 2


def test_a_curve_that_is_cut_back_continues_where_it_ended(
    finished: Study, memory: Remembering, tmp_path: Path
) -> None:
    arm = next(stage for stage in finished.plan.stages if stage.kind == "arm")
    partial = tracking.Store(tmp_path / "store").partial(arm)
    partial.mkdir(parents=True)
    lines = [json.dumps({"step": step, "loss": step / 2}) + "\n" for step in range(1, 6)]

    def follow(*contents: str) -> None:
        """One process that sees the file with each content in turn."""
        follower = tracking.Follower(
            "tiny", finished.plan, tracking.Store(tmp_path / "store"), tmp_path, ["memory"]
        )
        with follower:
            for content in contents:
                (partial / "metrics.jsonl").write_text(content)
                follower.read()

    follow("".join(lines[:3]) + lines[3][:7])
    assert [step for step, _ in memory.rows["grpo-pico-even-seed3"]] == [1, 2, 3]
    # Killed; the next process cuts back to the checkpoint after step 1 and repeats.
    follow(lines[0], "".join(lines[:2]), "".join(lines[:5]))
    assert memory.rows["grpo-pico-even-seed3"] == [(step, {"loss": step / 2}) for step in range(1, 6)]
    assert [(run.first_step, run.resumed) for run in memory.started] == [(1, False), (4, True)]


def test_a_failing_tracker_is_dropped_and_the_run_continues(copy: Study, memory: Remembering) -> None:
    memory.trouble = True
    lines: list[str] = []
    with listening(lines.append):
        rows = run_study(copy, track=["memory"])
    assert rows and not memory.rows
    assert [line for line in lines if "memory" in line] == [
        "memory failed and gets no more rows; the run continues: ConnectionError: nobody answers"
    ]


def test_tracking_changes_no_key_and_no_result(
    finished: Study, tiny_file: Path, tmp_path: Path, memory: Remembering
) -> None:
    tracked = open_study(tiny_file, ["track=[memory]"], tmp_path)
    assert [s.key for s in tracked.plan.stages] == [s.key for s in finished.plan.stages]
    run_study(tracked)
    assert len(memory.rows["grpo-pico-even-seed3"]) == 2
    assert (tracked.folder / "metrics.jsonl").read_bytes() == (finished.folder / "metrics.jsonl").read_bytes()


def test_unknown_and_missing_trackers_are_sentences(
    tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = open_study(tiny_file, runs=tmp_path / "runs")
    with pytest.raises(InputError, match="unknown tracker 'wandbb'.*Did you mean 'wandb'"):
        run_study(study, track=["wandbb"])
    found = importlib.util.find_spec
    missing = ("wandb", "trackio", "tensorboard")
    monkeypatch.setattr(importlib.util, "find_spec", lambda n, *a: None if n in missing else found(n, *a))
    for name in missing:
        with pytest.raises(InputError, match=r"pip install 'echochamber\[track\]'"):
            run_study(study, track=[name])
    assert not list(tmp_path.iterdir())


def test_tensorboard_reads_back_what_was_sent(copy: Study) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run_study(copy, track=["tensorboard"])
    arm = next(stage for stage in copy.plan.stages if stage.kind == "arm")
    found = events.EventAccumulator(str(copy.folder / "tensorboard" / "grpo-pico-even-seed3"))
    found.Reload()
    rows = [json.loads(line) for line in (copy.store.path(arm) / "metrics.jsonl").read_text().splitlines()]
    assert [(e.step, pytest.approx(e.value)) for e in found.Scalars("loss")] == [
        (row["step"], row["loss"]) for row in rows
    ]
    assert "results/text_summary" in found.Tags()["tensors"]


def run_elsewhere(copy: Study, tiny_file: Path, tracker: str, **environment: str) -> str:
    """In a separate process, because these packages read their settings when they are imported."""
    code = (
        "import sys; from echochamber.study import open_study, run_study; "
        "run_study(open_study(sys.argv[1], runs=sys.argv[2]), track=[sys.argv[3]])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tiny_file), str(copy.folder.parent), tracker],
        env={**os.environ, **environment}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "gets no more rows" not in done.stdout
    return done.stdout


@pytest.mark.long
def test_wandb_is_offline_unless_asked(copy: Study, tiny_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    said = run_elsewhere(copy, tiny_file, "wandb")
    assert f"wandb sync {copy.folder / 'wandb'}/offline-run-*" in said
    runs = sorted(path.name.rpartition("-")[2] for path in (copy.folder / "wandb").glob("offline-run-*"))
    assert runs == sorted(s.key for s in copy.plan.stages if s.kind in ("pretrain", "arm"))
    assert all(list(p.glob("*.wandb")) for p in (copy.folder / "wandb").glob("offline-run-*"))


@pytest.mark.long
def test_trackio_keeps_a_local_database(copy: Study, tiny_file: Path, tmp_path: Path) -> None:
    pytest.importorskip("trackio")
    run_elsewhere(copy, tiny_file, "trackio", TRACKIO_DIR=str(tmp_path / "trackio"))
    run_elsewhere(copy, tiny_file, "trackio", TRACKIO_DIR=str(tmp_path / "trackio"))
    database = next((tmp_path / "trackio").glob("tiny*.db"))
    arm = next(stage for stage in copy.plan.stages if stage.kind == "arm")
    with sqlite3.connect(database) as connection:
        rows: list[Any] = connection.execute("SELECT run_name, step, metrics FROM metrics").fetchall()
    mine = [(step, json.loads(text)) for name, step, text in rows if name.startswith("grpo-pico-even-seed3")]
    assert [step for step, values in mine if "loss" in values] == steps(
        copy.store.path(arm) / "metrics.jsonl"
    )
    assert sum("results/test/pass@1" in values for _, values in mine) == 1
