"""Findings 6 and 7: GRPO's stability, and Expert Iteration, beside PPO."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from echochamber.analysis.contrasts import Statement, aligned, all_of, beyond, halves, over_seeds
from echochamber.analysis.findings.certainty import difference
from echochamber.analysis.findings.claim import ZHAO, register_claim
from echochamber.analysis.findings.evidence import Evidence, Lacking
from echochamber.analysis.intervals import Array
from echochamber.analysis.paired_tests import paired_test
from echochamber.analysis.trajectories import Counts, Trajectory


@register_claim(
    "grpo-less-stable",
    "GRPO is less stable than PPO.",
    source=ZHAO,
    order=70,
    needs="GRPO and PPO at one size and mixture, evaluated at the same four or more steps; two seeds",
    null="The largest fall of pass@1 below an earlier evaluation is as deep in PPO as in GRPO.",
    method="For each seed, the largest fall is located on one half of the problems and measured on the "
    "other, and the other way around: without a real fall its mean is 0, however many evaluations there "
    "are. The test is a paired t test over seeds.",
)
def grpo_is_less_stable(e: Evidence) -> Statement | Lacking:
    """Finding 6, second half."""
    parts = []
    for a, b in e.pairs("grpo", "ppo"):
        kept = aligned(a, b)
        if kept is None or a.steps != b.steps or len(a.steps) < 4:
            continue
        falls = [[largest_fall(count) for count in t.counts] for t in kept]
        test = over_seeds([g - p for g, p in zip(*falls, strict=True)])
        deep = [
            f"{100 * float(np.mean(some)):.1f} points in {e.name(t)}"
            for some, t in zip(falls, kept, strict=True)
        ]
        parts.append(
            beyond(
                test, +1, evidence=f"mean largest fall {deep[0]}, {deep[1]}; difference {difference(test)}"
            )
        )
    return all_of(parts) if parts else Lacking("arms: GRPO and PPO evaluated at the same four or more steps")


def largest_fall(count: Counts) -> float:
    """The largest fall of pass@1 below an earlier evaluation, found and measured on different problems."""
    rate_PT = count.correct / count.completions.sum(axis=2)
    found = []
    first, second = halves(len(rate_PT))
    for finding, measuring in ((first, second), (second, first)):
        curve = rate_PT[finding].mean(axis=0)
        fall = np.maximum.accumulate(curve) - curve
        low = int(np.argmax(fall[1:])) + 1
        high = int(np.argmax(curve[:low]))
        measured = rate_PT[measuring].mean(axis=0)
        found.append(float(measured[high] - measured[low]))
    return float(np.mean(found))


@register_claim(
    "expert-iteration-lags",
    "Expert Iteration lags behind PPO at the same number of samples, with a milder shift of the formats.",
    source=ZHAO,
    order=80,
    needs="Expert Iteration and PPO (GRPO where there is no PPO) at one size and mixture, with recorded "
    "sample counts and overlapping budgets; two seeds",
    null="With the same number of samples, Expert Iteration reaches the same pass@1 or moves the formats "
    "as far.",
    method="At the last evaluated step of Expert Iteration that lies within the other arm's sample budget, "
    "the other arm is interpolated to the same number of samples. Two tests must both hold: a paired "
    "contrast of pass@1, and a t test over seeds of the total variation of the shares from the base model, "
    "with its signs read from one half of the problems and its size from the other.",
)
def expert_iteration_lags(e: Evidence) -> Statement | Lacking:
    """Finding 7."""
    pairs = e.pairs("expert_iteration", "ppo") or e.pairs("expert_iteration", "grpo")
    if not pairs:
        return Lacking("arms: Expert Iteration with PPO or GRPO at one size and mixture")
    parts = [p for a, b in pairs if (p := _lag(e, a, b)) is not None]
    return (
        all_of(parts) if parts else Lacking("steps: the two were never evaluated at equal numbers of samples")
    )


def _lag(e: Evidence, a: Trajectory, b: Trajectory) -> Statement | None:
    kept, budgets = aligned(a, b), [e.samples_at(t) for t in (a, b)]
    if kept is None or budgets[0] is None or budgets[1] is None:
        return None
    inside = [i for i, s in enumerate(budgets[0]) if i > 0 and 0 < s <= budgets[1][-1]]
    if not inside:
        return None
    index, wanted = inside[-1], budgets[0][inside[-1]]
    weights = between(budgets[1], wanted)
    first, second = kept
    reached = [
        np.sum([w * c.correct[:, i] / c.completions[:, i].sum(axis=1) for i, w in weights], axis=0)
        for c in second.counts
    ]
    gap = paired_test(reached, first.accuracy_per_problem(index), crossed=first.crossed)
    shifts = [
        [shift(count, some) for count in t.counts] for t, some in ((first, [(index, 1.0)]), (second, weights))
    ]
    milder = over_seeds([x - y for x, y in zip(*shifts, strict=True)])
    moved = [f"{100 * float(np.mean(some)):.1f}" for some in shifts]
    said = (
        f"{e.name(a)} minus {e.name(b)} at {wanted:,.0f} samples: pass@1 {difference(gap)}; formats moved by "
        f"{moved[0]} and {moved[1]} points, difference {difference(milder)}"
    )
    return all_of([beyond(gap, -1), beyond(milder, -1)], said)


def between(amounts: Sequence[float], wanted: float) -> list[tuple[int, float]]:
    """Indices and weights that interpolate linearly to a wanted amount among ascending ones."""
    above = next(i for i, value in enumerate(amounts) if value >= wanted)
    if above == 0 or amounts[above] == wanted:
        return [(above, 1.0)]
    part = (wanted - amounts[above - 1]) / (amounts[above] - amounts[above - 1])
    return [(above - 1, 1.0 - part), (above, part)]


def shift(count: Counts, weights: Sequence[tuple[int, float]]) -> float:
    """Total variation between the base model's shares and later ones, unbiased where nothing moved."""
    share_PTF = count.completions / count.completions.sum(axis=2, keepdims=True)
    moved_PF: Array = np.sum([w * share_PTF[:, i] for i, w in weights], axis=0) - share_PTF[:, 0]
    first, second = halves(len(moved_PF))
    found = [
        0.5 * float(np.sign(moved_PF[finding].mean(axis=0)) @ moved_PF[measuring].mean(axis=0))
        for finding, measuring in ((first, second), (second, first))
    ]
    return float(np.mean(found))
