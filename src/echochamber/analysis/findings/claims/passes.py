"""Finding 5: more pretraining data of one format leads to more gain from RL."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from dataclasses import replace

import numpy as np

from echochamber.analysis.contrasts import Statement, aligned, all_of, beyond, weighted
from echochamber.analysis.findings.certainty import difference, real_formats
from echochamber.analysis.findings.claim import ZHAO, register_claim
from echochamber.analysis.findings.evidence import Evidence, Lacking
from echochamber.analysis.headline import points
from echochamber.analysis.trajectories import Trajectory
from echochamber.evaluation import Cell

ONE_FORMAT = 0.8
"""Smallest share, among completions in any format, at which a mixture counts as having a single format."""


@register_claim(
    "more-data-more-gain",
    "Within one format, more passes over its pretraining data give more gain from RL.",
    source=ZHAO,
    order=60,
    needs="mixtures that differ only in the passes over one source, with nearly all completions in one "
    "format; two seeds",
    null="The gain of pass@1 does not depend on the number of passes.",
    method="The slope of the gain (last step minus base) over the logarithm of the passes, across all such "
    "mixtures; every arm and size must show it.",
)
def more_data_more_gain(e: Evidence) -> Statement | Lacking:
    """Finding 5."""
    parts = []
    for source, passes in _series(e):
        cells: dict[Cell, list[Trajectory]] = defaultdict(list)
        for t in e.policy_gradient:
            if t.mixture in passes and _one_format(t):
                cells[replace(t.cell, mixture="")].append(t)
        parts += [p for some in cells.values() if (p := _slope(source, passes, some)) is not None]
    return all_of(parts) if parts else Lacking(
        "mixtures: none differ only in the passes over one source of one format"
    )  # fmt: skip


def _series(e: Evidence) -> list[tuple[str, dict[str, float]]]:
    """Sources whose passes are all that differs between some mixtures, with the passes of each mixture."""
    found: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for mixture, config in e.mixtures.items():
        for source, times in config.passes.items():
            if times > 0:
                rest = {key: value for key, value in config.passes.items() if key != source}
                found[source, json.dumps(rest, sort_keys=True)][mixture] = times
    return [(source, some) for (source, _), some in found.items() if len(set(some.values())) > 1]


def _one_format(t: Trajectory) -> bool:
    shares = [float(t.share.estimate[0, t.formats.index(name)]) for name in real_formats(t)]
    return bool(shares) and max(shares) >= ONE_FORMAT * sum(shares) > 0


def _slope(source: str, passes: dict[str, float], some: list[Trajectory]) -> Statement | None:
    kept = aligned(*some)
    doublings = np.array([math.log2(passes[t.mixture]) for t in some])
    if kept is None or len(set(doublings)) < 2:
        return None
    weight = doublings - doublings.mean()
    unit = float(weight[weight > 0].sum())
    per_doubling = unit / float(weight @ weight)
    # Gains lie between -1 and 1: half the weights keep each side of the contrast within [0, 1].
    terms = []
    for w, t in zip(weight / unit / 2.0, kept, strict=True):
        terms += [(float(w), t.accuracy_per_problem(-1)), (-float(w), t.accuracy_per_problem(0))]
    test = weighted([term for term in terms if term[0]], crossed=kept[0].crossed)
    gains = ", ".join(
        f"{passes[t.mixture]:g} passes {points(float(t.pass_at_1.estimate[-1] - t.pass_at_1.estimate[0]))}"
        for t in kept
    )
    said = (
        f"{some[0].name} ({some[0].size}), {source}: {gains}; per doubling "
        f"{points(2 * per_doubling * test.difference.estimate)} (contrast {difference(test)})"
    )
    return beyond(test, +1, evidence=said)
