"""Records of a run as tables: shares and accuracies over steps, base against final, learning curves."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from echochamber.analysis.intervals import Interval
from echochamber.analysis.runs import Run
from echochamber.analysis.trajectories import select, trajectories
from echochamber.evaluation import Cell

_ARM = [(name, pa.string()) for name in ("arm", "algorithm", "size", "mixture")]
_SWEEP, _SEED = ("sweep", pa.string()), ("seed", pa.int64())
_CELL = [*_ARM, _SWEEP, ("benchmark", pa.string())]
_INTERVAL = [("estimate", pa.float64()), ("low", pa.float64()), ("high", pa.float64())]
_OVER_STEPS = pa.schema(
    [*_CELL, ("step", pa.int64()), ("format", pa.string()), *_INTERVAL, ("num_seeds", pa.int64())]
)
_CURVES = pa.schema(
    [*_ARM, _SEED, _SWEEP, ("step", pa.int64()), ("tokens", pa.int64()), ("source", pa.string()),
     ("loss", pa.float64())]
)  # fmt: skip


def format_shares(run: Run, *, benchmark: str | None = None, greedy: bool = False) -> pa.Table:
    """Share of each format at each evaluated step with its 95 % interval, seeds pooled."""
    found = select(trajectories(run), benchmark=benchmark, greedy=greedy)
    rows = [
        t.cell.columns
        | {"step": step, "format": name, "num_seeds": t.num_seeds}
        | _interval(t.share.at((i, f)))
        for t in found
        for i, step in enumerate(t.steps)
        for f, name in enumerate(t.formats)
    ]
    return pa.Table.from_pylist(rows, schema=_OVER_STEPS)


def accuracy_by_format(run: Run, *, benchmark: str | None = None, greedy: bool = False) -> pa.Table:
    """Mean reward at each evaluated step with its 95 % interval: overall (format `all`) and by format.

    The accuracy of a format is null at steps where no completion is in it.
    """
    found = select(trajectories(run), benchmark=benchmark, greedy=greedy)
    rows = []
    for t in found:
        for i, step in enumerate(t.steps):
            head = t.cell.columns | {"step": step, "num_seeds": t.num_seeds}
            rows.append(head | {"format": "all"} | _interval(t.pass_at_1.at(i)))
            for f, name in enumerate(t.formats):
                rows.append(head | {"format": name} | _interval(t.accuracy_by_format.at((i, f))))
    return pa.Table.from_pylist(rows, schema=_OVER_STEPS)


def base_and_final(run: Run, *, benchmark: str | None = None, greedy: bool = False) -> pa.Table:
    """One row per arm: pass@1 before and after RL with intervals, their paired difference and its test.

    `about` is `trainings`, or `runs` with one seed, whose test says nothing about training again.
    """
    rows = []
    for t in select(trajectories(run), benchmark=benchmark, greedy=greedy):
        if t.is_base:
            continue
        test = t.gain()
        row: dict[str, Any] = t.cell.columns | {"final_step": t.steps[-1], "num_seeds": t.num_seeds}
        row |= {"num_problems": t.num_problems, "num_samples": t.num_samples}
        row |= _named("before", t.pass_at_1.at(0)) | _named("after", t.pass_at_1.at(-1))
        row |= _named("difference", test.difference)
        row |= {
            "about": test.about,
            "p_value": test.p_value,
            "minimum_detectable": finite(test.minimum_detectable),
        }
        row |= {f"share_before_{name}": value for name, value in t.share_at(0).items()}
        row |= {f"share_after_{name}": value for name, value in t.share_at(-1).items()}
        rows.append(row)
    return pa.Table.from_pylist(rows)


def learning_curves(run: Run) -> pa.Table:
    """Pretraining loss in nats per token: source `train` for the batches, otherwise held-out text."""
    return pa.Table.from_pylist(list(_losses(run)), schema=_CURVES)


def _losses(run: Run) -> Iterator[dict[str, Any]]:
    for row in run.metrics:
        if row.get("stage") != "pretrain":
            continue
        head = {**Cell.of(row).columns, "step": row["step"], "tokens": row.get("tokens")}
        if row.get("loss") is not None:
            yield head | {"source": "train", "loss": row["loss"]}
        for source, loss in (row.get("heldout") or {}).items():
            yield head | {"source": source, "loss": loss}


def _interval(interval: Interval) -> dict[str, float | None]:
    return {
        "estimate": finite(interval.estimate), "low": finite(interval.low), "high": finite(interval.high)
    }  # fmt: skip


def _named(name: str, interval: Interval) -> dict[str, float | None]:
    ends = {f"{name}_low": finite(interval.low), f"{name}_high": finite(interval.high)}
    return {name: finite(interval.estimate), **ends}


def finite(value: float) -> float | None:
    """The value, or None for NaN and infinities, which JSON cannot hold."""
    return value if math.isfinite(value) else None
