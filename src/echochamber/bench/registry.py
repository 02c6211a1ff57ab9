"""Benches by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from echochamber.base import Registry
from echochamber.bench.measure import Settings
from echochamber.bench.pretrain import bench_pretrain
from echochamber.bench.rollout import bench_rollout

BENCHES: Registry[Callable[[Settings], dict[str, Any]]] = Registry("bench")
BENCHES.register("rollout", bench_rollout)
BENCHES.register("pretrain", bench_pretrain)


def run_bench(name: str, settings: Settings | None = None) -> dict[str, Any]:
    """Measure one bench.

    Returns:
        `{"name", "ours": {"median_seconds", ...}, "peer": {"name", "version", "median_seconds"}, "ratio":
        peer seconds / our seconds, "floor_fraction", "machine", "rows": [...]}`: the headline row, and all
        rows under `rows`.

    Raises:
        InputError: no such bench, or the peer it compares with is not installed.
    """
    return BENCHES.get(name)(settings or Settings())


def table(result: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a bench's result as text, for a terminal."""
    header = ["bench", "case", "ours", "peer", "peer seconds", "ratio", "of the floor"]
    rows = []
    for row in result.get("rows") or [result]:
        floor = row.get("floor_fraction")
        rows.append(
            [
                str(result["name"]),
                str(row.get("size") or row.get("case") or ""),
                f"{row['ours']['median_seconds']:.4g} s",
                f"{row['peer']['name']} {row['peer']['version']}",
                f"{row['peer']['median_seconds']:.4g} s",
                f"{row['ratio']:.2f}x",
                "" if floor is None else f"{floor:.0%}",
            ]
        )
    return header, rows
