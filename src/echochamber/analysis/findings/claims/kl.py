"""Finding 2: what a KL coefficient preserves."""

from __future__ import annotations

import json
from collections import defaultdict

import numpy as np

from echochamber.analysis.contrasts import Statement, aligned, all_of, beyond, weighted
from echochamber.analysis.findings.certainty import difference, mean, real_formats
from echochamber.analysis.findings.claim import ZHAO, register_claim
from echochamber.analysis.findings.evidence import Evidence, Lacking
from echochamber.analysis.trajectories import Trajectory
from echochamber.evaluation import Cell


@register_claim(
    "kl-keeps-minorities",
    "A larger KL coefficient keeps more of the minority formats.",
    source=ZHAO,
    order=20,
    needs="arms that differ only in their KL coefficient; two seeds",
    null="At the last step the share of the most frequent format does not depend on the coefficient.",
    method="A linear trend of that share over the ranks of all coefficients. The format is chosen from all "
    "arms together, so that the choice favors none of them. Every set of arms must show the trend.",
)
def kl_keeps_minorities(e: Evidence) -> Statement | Lacking:
    """Finding 2, as a trend over all coefficients."""
    sets: dict[tuple[Cell, str], list[Trajectory]] = defaultdict(list)
    for t in e.policy_gradient:
        config = e.configs[t.cell]
        if config.kl_coefficient is not None:
            rest = {key: value for key, value in config.settings.items() if key != "kl_coefficient"}
            sets[t.base, json.dumps(rest, sort_keys=True, default=str)].append(t)
    parts = [p for some in sets.values() if (p := _trend(e, some)) is not None]
    return all_of(parts) if parts else Lacking("arms: no two differ only in their KL coefficient")


def _trend(e: Evidence, arms: list[Trajectory]) -> Statement | None:
    arms = sorted(arms, key=lambda t: _beta(e, t))
    betas = [_beta(e, t) for t in arms]
    kept = aligned(*arms)
    if len(set(betas)) < 2 or kept is None or not real_formats(arms[0]):
        return None
    dominant = max(real_formats(arms[0]), key=lambda f: sum(mean(t.share_per_problem(-1, f)) for t in kept))
    rank = np.array([sorted(set(betas)).index(b) for b in betas], dtype=float)
    weight = rank - rank.mean()
    weight /= weight[weight > 0].sum()
    terms = [(-float(w), t.share_per_problem(-1, dominant)) for w, t in zip(weight, kept, strict=True) if w]
    test = weighted(terms, crossed=kept[0].crossed)
    shares = ", ".join(
        f"{b:g}: {100 * mean(t.share_per_problem(-1, dominant)):.1f} %"
        for b, t in zip(betas, kept, strict=True)
    )
    said = f"{e.name(arms[0])}: share of {dominant} by coefficient {shares}; decrease {difference(test)}"
    return beyond(test, +1, evidence=said)


def _beta(e: Evidence, t: Trajectory) -> float:
    beta = e.configs[t.cell].kl_coefficient
    assert beta is not None
    return beta
