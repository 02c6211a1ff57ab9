"""From finished stages to the files of a run folder that people and the report read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from echochamber.base import explained_write, publish_folder, read_json, write_file, write_json
from echochamber.evaluation import SCHEMA, Cell, EvaluationConfig, summarize, with_cell
from echochamber.study.plan import Plan
from echochamber.study.stages import PROBABILITIES, TABLES, measured_paths
from echochamber.study.store import Stage, Store, read_seconds

if TYPE_CHECKING:
    from echochamber.analysis import Run


def gather(
    study: str, plan: Plan, store: Store, folder: Path, evaluation: EvaluationConfig
) -> list[dict[str, Any]]:
    """Write `completions/`, `metrics.jsonl` and `summary.json` from the stages that are finished.

    Returns:
        The rows of the summary.
    """
    temporary = folder / "completions.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    with explained_write(temporary):
        temporary.mkdir(parents=True)
    rows: list[dict[str, Any]] = []
    metrics: list[str] = []
    timing: list[str] = []
    probabilities: list[str] = []
    alarms: list[str] = []
    part = 0
    for item in plan.measured:
        if store.state(item.stage) != "done":
            continue
        source = store.path(item.stage)
        for benchmark, path in measured_paths(source / TABLES, evaluation.benchmarks):
            table = with_cell(pq.read_table(path), item.cell.on(benchmark))
            with explained_write(temporary):
                pq.write_table(table, temporary / f"part-{part:05d}.parquet", compression="zstd")
            part += 1
            rows += summarize(table, evaluation)
        kind = "pretrain" if item.stage.kind == "pretrain" else "rl"
        metrics += _lines(source / "metrics.jsonl", kind, item.cell)
        timing += _lines(source / "timing.jsonl", kind, item.cell)
        alarms += _lines(source / "alarms.jsonl", kind, item.cell)
        probabilities += [
            json.dumps({**item.cell.on(benchmark).columns, **row}, ensure_ascii=False) + "\n"
            for benchmark, path in measured_paths(source / PROBABILITIES, evaluation.benchmarks)
            for row in read_json(path)
        ]
    final = folder / "completions"
    shutil.rmtree(final, ignore_errors=True)
    publish_folder(temporary, final)
    write_file(folder / "metrics.jsonl", "".join(metrics))
    write_file(folder / "timing.jsonl", "".join(timing))
    write_file(folder / "alarms.jsonl", "".join(alarms))
    write_file(folder / "format_probabilities.jsonl", "".join(probabilities))
    times = [(stage.title, read_seconds(store.path(stage))) for stage in done(plan, store)]
    write_json(
        folder / "summary.json",
        {
            "schema": SCHEMA,
            "study": study,
            "questions": _questions(plan, store),
            "rows": rows,
            "seconds": {title: seconds for title, seconds in times if seconds is not None},
        },
    )
    return rows


def add_rulings(run: Run) -> None:
    """Add the outcomes of endpoints and claims to `summary.json`, as the report states them.

    Raises:
        EchoError: the records of the run are damaged.
    """
    from echochamber.analysis import rulings

    write_json(run.folder / "summary.json", {**run.summary, **rulings(run)})


def _questions(plan: Plan, store: Store) -> dict[str, int]:
    """Number of questions drawn for each task."""
    found: dict[str, int] = {}
    for stage in plan.stages:
        if stage.kind == "problems" and store.state(stage) == "done":
            for path in sorted(store.path(stage).glob("*.jsonl")):
                found.setdefault(path.stem, len(path.read_text(encoding="utf-8").splitlines()))
    return found


def done(plan: Plan, store: Store) -> list[Stage]:
    """The finished stages of a plan, in order."""
    return [stage for stage in plan.stages if store.state(stage) == "done"]


def _lines(path: Path, kind: str, cell: Cell) -> list[str]:
    """The rows of a stage's JSON lines file, after the kind of stage and the columns of their cell."""
    if not path.exists():
        return []
    return [
        json.dumps({"stage": kind, **cell.columns, **json.loads(line)}, ensure_ascii=False) + "\n"
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
