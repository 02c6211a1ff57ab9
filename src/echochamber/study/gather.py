"""From finished stages to the files of a run folder that people and the report read."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from echochamber.base import explained_write, publish_folder, read_json, write_file, write_json
from echochamber.evaluation import EvaluationConfig, Labels, summarise
from echochamber.study.plan import Plan
from echochamber.study.stages import PROBABILITIES, table_paths
from echochamber.study.store import Stage, Store, read_seconds


def relabel(table: pa.Table, labels: Labels) -> pa.Table:
    """The table with its cell's labels in place of whatever the stage wrote."""
    for name in ("arm", "size", "mixture", "seed"):
        index = table.schema.get_field_index(name)
        column = pa.array([getattr(labels, name)] * table.num_rows, type=table.schema.field(index).type)
        table = table.set_column(index, table.schema.field(index), column)
    return table


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
        for path in table_paths(source, evaluation.benchmarks):
            table = relabel(pq.read_table(path), item.labels)
            with explained_write(temporary):
                pq.write_table(table, temporary / f"part-{part:05d}.parquet", compression="zstd")
            part += 1
            rows += summarise(table, evaluation)
        kind = "pretrain" if item.stage.kind == "pretrain" else "rl"
        metrics += _labelled(source / "metrics.jsonl", kind, item.labels)
        timing += _labelled(source / "timing.jsonl", kind, item.labels)
        alarms += _labelled(source / "alarms.jsonl", kind, item.labels)
        probabilities += [
            json.dumps({**asdict(item.labels), **row}, ensure_ascii=False) + "\n"
            for path in sorted((source / PROBABILITIES).glob("*.json"))
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
            "study": study,
            "questions": _questions(plan, store),
            "rows": rows,
            "seconds": {title: seconds for title, seconds in times if seconds is not None},
        },
    )
    return rows


def add_verdicts(folder: Path) -> None:
    """Add the outcomes of endpoints and claims to `summary.json`, as the report states them.

    Raises:
        EchoError: the records of the run are damaged.
    """
    from echochamber.analysis import Run, verdicts

    run = Run(folder)
    write_json(folder / "summary.json", {**run.summary, **verdicts(run)})


def _questions(plan: Plan, store: Store) -> dict[str, int]:
    """Questions of each task, as drawn."""
    found: dict[str, int] = {}
    for stage in plan.stages:
        if stage.kind == "problems" and store.state(stage) == "done":
            for path in sorted(store.path(stage).glob("*.jsonl")):
                found.setdefault(path.stem, len(path.read_text(encoding="utf-8").splitlines()))
    return found


def done(plan: Plan, store: Store) -> list[Stage]:
    """The finished stages of a plan, in order."""
    return [stage for stage in plan.stages if store.state(stage) == "done"]


def _labelled(path: Path, kind: str, labels: Labels) -> list[str]:
    if not path.exists():
        return []
    cell = {
        "stage": kind,
        "arm": labels.arm,
        "size": labels.size,
        "mixture": labels.mixture,
        "seed": labels.seed,
    }
    return [
        json.dumps({**cell, **json.loads(line)}, ensure_ascii=False) + "\n"
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
