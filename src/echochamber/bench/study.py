"""The time of a whole study, and where it goes."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from echochamber.base import InputError, listening
from echochamber.bench.measure import Settings, alone, describe_machine, seconds_of, target
from echochamber.study import open_study, run_study, status_rows

MINUTES = 6.0
NO_PEER = (
    "no released tool runs such a study; its two heavy parts are measured against peers by the benches "
    "pretrain and rl-step"
)


def bench_study(settings: Settings) -> dict[str, Any]:
    """Seconds of one run from scratch to the report, in a folder that is removed afterwards.

    `stages` has the seconds of each stage, `split` those of pretraining, rollout, grading, update and
    evaluation over all arms; `other` is the rest: tokenizer, mixture, checkpoints, startup, report.

    Raises:
        InputError: there is no such study file.
    """
    path = Path("studies/smoke.yaml") if settings.quick else settings.study
    if not path.is_file():
        raise InputError(
            f"no study file at {path}: give one with --study, or run from a clone of the repository, "
            "which has studies/demo.yaml"
        )
    with tempfile.TemporaryDirectory() as name:
        study = open_study(path, runs=name)
        with settings.show(f"study {study.name}", len(study.plan.stages)) as bar:
            done = 0

            def hear(line: str) -> None:
                nonlocal done
                finished = ": done in" in line
                done += finished
                if finished:
                    bar.update(done, stage=line)

            with listening(hear):
                seconds = seconds_of(lambda: run_study(study), settings.machine)
        stages = {row["stage"]: row["seconds"] for row in status_rows(study) if row["seconds"]}
        shares = split(study.folder / "timing.jsonl")
    shares["other"] = seconds - sum(shares.values())
    row = {
        "case": str(path),
        "targets": [target(seconds / 60, "minutes for the whole study", at_most=MINUTES)],
        **alone([seconds], why=NO_PEER),
        "stages": stages,
        "split": shares,
    }
    return {"name": "study", **row, "machine": describe_machine(settings.machine), "rows": [row]}


def split(timing: Path) -> dict[str, float]:
    """Seconds of each kind of work, summed over a run's `timing.jsonl`."""
    total: dict[str, float] = defaultdict(float)
    for line in timing.read_text().splitlines():
        entry = json.loads(line)
        if entry["stage"] == "pretrain":
            total["pretrain"] += entry["seconds"]
        elif entry.get("what") == "evaluation":
            total["evaluate"] += entry["seconds"]
        else:
            for name in ("rollout", "grade", "update"):
                total[name] += entry.get(f"{name}_seconds", 0.0)
    return dict(total)
