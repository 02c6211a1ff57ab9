"""What training recorded at each of its own steps, as tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from echochamber.analysis.runs import Run
from echochamber.evaluation import Cell

_CELL = [
    ("arm", pa.string()),
    ("algorithm", pa.string()),
    ("size", pa.string()),
    ("mixture", pa.string()),
    ("seed", pa.int64()),
    ("sweep", pa.string()),
    ("step", pa.int64()),
]
_SCALARS = pa.schema([*_CELL, ("metric", pa.string()), ("value", pa.float64())])
_SHARES = pa.schema([*_CELL, ("format", pa.string()), ("share", pa.float64())])
_LOSSES = pa.schema([*_CELL, ("tokens", pa.int64()), ("source", pa.string()), ("loss", pa.float64())])


def rl_curves(run: Run) -> pa.Table:
    """Every scalar in the post-training rows of `metrics.jsonl`, one row per step and metric."""
    return pa.Table.from_pylist(list(_scalars(run)), schema=_SCALARS)


def training_shares(run: Run) -> pa.Table:
    """Share of each format among the completions sampled for training, at every step.

    These are on the training questions; they show what happens between two evaluations.
    """
    return pa.Table.from_pylist(list(_shares(run)), schema=_SHARES)


def _rl_rows(run: Run) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for row in run.metrics:
        if row.get("stage") == "rl":
            yield {name: row[name] for name, _ in _CELL}, row


def _scalars(run: Run) -> Iterator[dict[str, Any]]:
    not_metrics = {"stage", *(name for name, _ in _CELL)}
    for head, row in _rl_rows(run):
        for name, value in row.items():
            if name not in not_metrics and isinstance(value, int | float) and not isinstance(value, bool):
                yield head | {"metric": name, "value": float(value)}


def _shares(run: Run) -> Iterator[dict[str, Any]]:
    for head, row in _rl_rows(run):
        for name, value in (row.get("share") or {}).items():
            yield head | {"format": name, "share": value}


def learning_curves(run: Run) -> pa.Table:
    """Pretraining loss in nats per token: source `train` for the batches, otherwise held-out text."""
    return pa.Table.from_pylist(list(_losses(run)), schema=_LOSSES)


def _losses(run: Run) -> Iterator[dict[str, Any]]:
    for row in run.metrics:
        if row.get("stage") != "pretrain":
            continue
        head = {**Cell.of(row).columns, "step": row["step"], "tokens": row.get("tokens")}
        if row.get("loss") is not None:
            yield head | {"source": "train", "loss": row["loss"]}
        for source, loss in (row.get("heldout") or {}).items():
            yield head | {"source": source, "loss": loss}
