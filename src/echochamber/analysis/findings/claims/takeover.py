"""Finding 1: what happens within the first pass over the RL questions, and how pass@k develops after it."""

from __future__ import annotations

from echochamber.analysis.contrasts import Statement, all_of, any_of, beyond, weighted
from echochamber.analysis.findings.certainty import difference, mean, real_formats
from echochamber.analysis.findings.claim import ZHAO, register_claim
from echochamber.analysis.findings.evidence import Evidence, Lacking, step_near
from echochamber.analysis.headline import percent
from echochamber.analysis.paired_tests import paired_test
from echochamber.analysis.trajectories import Trajectory

EARLY = 0.1
"""Fraction of training after which pass@k is measured: the first of the paper's ten passes."""
_NO_ARMS = Lacking("arms: none follows a policy gradient toward correct answers")


@register_claim(
    "takeover",
    "One format takes over within the first pass over the RL questions, together with most of the rise of "
    "pass@1.",
    source=ZHAO,
    order=10,
    needs="policy-gradient arms that train for more than one pass, evaluated near the end of the first; "
    "two seeds",
    null="At the end of the first pass no format that grew holds more than half of the completions, or "
    "pass@1 is no more than halfway up, or pass@1 does not rise at all.",
    method="Four contrasts in every arm, all of which must hold: a format's share after one pass minus "
    "1/2, the growth of that share, pass@1 after one pass minus the midpoint of its first and last value, "
    "and its last value minus its first. Any format may be the one that takes over, after correction for "
    "their number.",
)
def takes_over_early(e: Evidence) -> Statement | Lacking:
    """Finding 1, first half."""
    parts = []
    for t in e.policy_gradient:
        index = e.first_pass(t)
        if isinstance(index, Lacking):
            return index
        parts.append(_takeover(t, index, e.name(t)))
    return all_of(parts) if parts else _NO_ARMS


def _takeover(t: Trajectory, index: int, name: str) -> Statement:
    first, then, last = (t.accuracy_per_problem(i) for i in (0, index, -1))
    rise = paired_test(first, last, crossed=t.crossed)
    early = weighted([(1.0, then), (-0.5, first), (-0.5, last)], crossed=t.crossed)
    shared = [beyond(rise, +1), beyond(early, +1)]
    formats = []
    for f in real_formats(t):
        before, after = t.share_per_problem(0, f), t.share_per_problem(index, f)
        growth = paired_test(before, after, crossed=t.crossed)
        majority = paired_test([v * 0 + 0.5 for v in after], after, crossed=t.crossed)
        formats.append(all_of([beyond(majority, +1), beyond(growth, +1), *shared], f))
    most = max(real_formats(t), key=lambda f: mean(t.share_per_problem(index, f)), default="")
    share = percent(mean(t.share_per_problem(index, most))) if most else "0"
    said = (
        f"{name}: at step {t.steps[index]} {most} holds {share}; pass@1 rises by {difference(rise)} in "
        f"total and is by then {difference(early)} from the midpoint of its rise"
    )
    return any_of(formats, said) if formats else Statement(1.0, 1.0, t.num_seeds, said)


def _early_index(t: Trajectory) -> int | Lacking:
    last = t.steps[-1]
    return step_near(t, [step / last if last else 0.0 for step in t.steps], EARLY, "a tenth of its steps")


@register_claim(
    "majority-vote",
    "The majority vote over all samples improves.",
    source=ZHAO,
    order=11,
    needs="policy-gradient arms with two or more samples per problem; two seeds",
    null="In some arm, maj@k at the last step is that of the base model.",
    method="A paired contrast of maj@k over all samples, last step minus base; every arm must show it.",
)
def majority_improves(e: Evidence) -> Statement | Lacking:
    """Finding 1: maj@k."""
    parts = []
    for t in (t for t in e.policy_gradient if t.num_samples >= 2):
        k = t.num_samples
        test = paired_test(e.majority(t, 0, k), e.majority(t, -1, k), crossed=t.crossed)
        parts.append(beyond(test, +1, evidence=f"{e.name(t)}: maj@{k} {difference(test)}"))
    return all_of(parts) if parts else Lacking("arms: none has two or more samples per problem")


@register_claim(
    "coverage",
    "pass@k over all samples rises early and declines late.",
    source=ZHAO,
    order=12,
    needs="policy-gradient arms with two or more samples per problem, evaluated near a tenth of their "
    "steps; two seeds",
    null="In some arm, pass@k does not rise in the first tenth of training, or does not fall from there to "
    "the end.",
    method="Two paired contrasts of pass@k over all samples: the evaluated step near a tenth of training "
    "minus base, and the last step minus that step; both must hold in every arm.",
)
def coverage_rises_then_falls(e: Evidence) -> Statement | Lacking:
    """Finding 1: pass@k."""
    parts = []
    for t in (t for t in e.policy_gradient if t.num_samples >= 2):
        k, index = t.num_samples, _early_index(t)
        if isinstance(index, Lacking):
            return index
        values = [t.pass_per_problem(i, k) for i in (0, index, -1)]
        up, down = (paired_test(values[i], values[i + 1], crossed=t.crossed) for i in (0, 1))
        said = (
            f"{e.name(t)}: pass@{k} {difference(up)} to step {t.steps[index]}, {difference(down)} from there"
        )
        parts.append(all_of([beyond(up, +1), beyond(down, -1)], said))
    return all_of(parts) if parts else Lacking("arms: none has two or more samples per problem")
