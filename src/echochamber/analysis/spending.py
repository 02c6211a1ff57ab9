"""What an arm had spent at each of its evaluated steps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from echochamber.analysis.runs import Run
from echochamber.analysis.trajectories import Trajectory
from echochamber.evaluation import Cell


@dataclass(frozen=True)
class Cost:
    """What one arm had spent at each of its evaluated steps, averaged over seeds.

    Attributes:
        samples: completions sampled for training; None where the run did not record them.
        seconds: compute time of training, evaluations left out; None where the run did not record it.
    """

    samples: tuple[float | None, ...]
    seconds: tuple[float | None, ...]


def cost(run: Run, t: Trajectory) -> Cost:
    """Samples and seconds that an arm had spent at each evaluated step."""
    spent: dict[int, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for row in _rows_of(run.timing, t):
        if row.get("what", "train") != "evaluation" and row.get("seconds") is not None:
            spent[row["seed"]][int(row.get("step") or 0)] += float(row["seconds"])
    seconds: dict[int, list[float]] = defaultdict(list)
    for by_step in spent.values():
        for step in t.steps:
            if step <= max(by_step):
                seconds[step].append(sum(value for at, value in by_step.items() if at <= step))
    return Cost(samples_seen(run, t), _means(seconds, t.steps))


def samples_seen(run: Run, t: Trajectory) -> tuple[float | None, ...]:
    """Completions that an arm had been trained on at each evaluated step, averaged over seeds."""
    samples: dict[int, list[float]] = defaultdict(list)
    for row in _rows_of(run.metrics, t):
        if row.get("samples_seen") is not None:
            samples[int(row["step"])].append(float(row["samples_seen"]))
    return _means(samples, t.steps)


def _rows_of(rows: Sequence[Mapping[str, object]], t: Trajectory) -> list[Mapping[str, Any]]:
    cell = t.cell.on(None)
    return [row for row in rows if row["stage"] == "rl" and Cell.of(row).over_seeds() == cell]


def _means(found: Mapping[int, Sequence[float]], steps: Sequence[int]) -> tuple[float | None, ...]:
    return tuple(
        0.0 if step == 0 and found else float(np.mean(found[step])) if step in found else None
        for step in steps
    )
