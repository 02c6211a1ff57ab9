"""Benches by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from echochamber.base import Registry
from echochamber.bench.busy import bench_busy
from echochamber.bench.calibration import bench_calibration, calibration_table
from echochamber.bench.evaluation import bench_evaluation
from echochamber.bench.measure import Settings
from echochamber.bench.pretrain import bench_pretrain
from echochamber.bench.profile import bench_profile
from echochamber.bench.rl_step import bench_rl_step
from echochamber.bench.rollout import bench_rollout
from echochamber.bench.scaling import bench_scaling
from echochamber.bench.startup import bench_startup
from echochamber.bench.study import bench_study
from echochamber.bench.verify import bench_verify

BENCHES: Registry[Callable[[Settings], dict[str, Any]]] = Registry("bench")
BENCHES.register("pretrain", bench_pretrain)
BENCHES.register("rollout", bench_rollout)
BENCHES.register("rl-step", bench_rl_step)
BENCHES.register("verify", bench_verify)
BENCHES.register("evaluation", bench_evaluation)
BENCHES.register("startup", bench_startup)
BENCHES.register("busy", bench_busy)
BENCHES.register("study", bench_study)
BENCHES.register("scaling", bench_scaling)
BENCHES.register("profile", bench_profile)
BENCHES.register("calibration", bench_calibration)
# The benches that `all` runs: comparisons and promises, not the studies of our own cost or error rates.
COMPARISONS = tuple(name for name in BENCHES if name not in ("scaling", "profile", "calibration"))


def run_bench(name: str, settings: Settings | None = None) -> dict[str, Any]:
    """Run one bench.

    Returns:
        `{"name", "ours": {"median_seconds", ...}, "peer": {"name", "version", "median_seconds"} or None,
        "ratio": peer seconds / our seconds, "floor_fraction", "machine", "rows": [...]}`: the headline row,
        and all rows under `rows`. `why_no_peer` says why a row has none, `targets` what was promised of it.

    Raises:
        InputError: no such bench, or the peer it compares with is not installed.
    """
    return BENCHES.get(name)(settings or Settings())


def table(result: dict[str, Any]) -> list[dict[str, str]]:
    """A bench's rows as text for a terminal, one line per row and one more for each further target."""
    if "cells" in result:
        return calibration_table(result)
    lines = []
    for row in result["rows"]:
        peer, ours, floor = row["peer"], row["ours"], row["floor_fraction"]
        head = {
            "bench": str(result["name"]),
            "case": str(row.get("case") or row["size"]),
            "ours": f"{ours['median_seconds']:.3g} s",
            "spread": f"{ours['least_seconds']:.3g} to {ours['most_seconds']:.3g}",
            "peer": "none" if peer is None else f"{peer['name']} {peer['version']}",
            "peer's": "" if peer is None else f"{peer['median_seconds']:.3g} s",
            "ratio": "" if peer is None else f"{row['ratio']:.2f}x",
            "pairs": "" if peer is None else f"{min(row['ratios']):.2f} to {max(row['ratios']):.2f}",
            "of floor": "" if floor is None else f"{floor:.0%}",
        }
        targets = [_target_cells(promised) for promised in row["targets"]]
        nothing = {"target": "", "measured": "", "met": ""}
        lines += [{**head, **cells} for cells in targets[:1] or [nothing]]
        lines += [{**dict.fromkeys(head, ""), **cells} for cells in targets[1:]]
    return lines


def _target_cells(promised: dict[str, Any]) -> dict[str, str]:
    sign, bound = (">=", promised["at_least"]) if "at_least" in promised else ("<=", promised["at_most"])
    return {
        "target": f"{sign} {bound:g} {promised['of']}",
        "measured": f"{promised['measured']:.3g}"
        if promised["measured"] < 1000
        else f"{promised['measured']:,.0f}",
        "met": "yes" if promised["met"] else "NO",
    }
