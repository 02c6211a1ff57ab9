"""Finding 9: the winner, named from the base model alone."""

from __future__ import annotations

import math
from collections import defaultdict

from echochamber.analysis.contrasts import Statement, all_of
from echochamber.analysis.findings.certainty import Versus, leader, leads, real_formats
from echochamber.analysis.findings.claim import OURS, register_claim
from echochamber.analysis.findings.evidence import Evidence, Lacking
from echochamber.analysis.forecast import rules_of_thumb, tilt_per_problem
from echochamber.analysis.intervals import LEVEL
from echochamber.analysis.paired_tests import PairedTest, paired_test
from echochamber.analysis.trajectories import Trajectory
from echochamber.evaluation import Cell


@register_claim(
    "tilt-names-winner",
    "Tilting the base model by exp(r / beta) names the winner in advance.",
    source=OURS,
    order=100,
    needs="policy-gradient arms with certain winners in enough sizes and mixtures to beat chance; two seeds",
    null="The tilt names winners no more often than a random choice among the formats.",
    method="Among the sizes and mixtures whose winner is certain and the same in all arms, the number that "
    "the tilt's limit names is tested against chance with a binomial test (three of three among three "
    "formats suffice). The claim is contradicted where forecast and winner are certain and differ, after "
    "correction for their number.",
)
def tilt_names_winner(e: Evidence) -> Statement | Lacking:
    """Finding 9."""
    arms_of: dict[Cell, list[Trajectory]] = defaultdict(list)
    for t in e.policy_gradient:
        if len(real_formats(t)) >= 2:
            arms_of[t.base].append(t)
    calls = [call for arms in arms_of.values() if (call := _call(arms)) is not None]
    if not arms_of:
        return Lacking("arms: none follows a policy gradient and writes two or more formats")
    seeds = min(t.num_seeds for arms in arms_of.values() for t in arms)
    if not calls:
        return Statement(1.0, 1.0, seeds, "no winner is certain")
    right = [named == won for named, won, _, _, _ in calls]
    chances = [chance for *_, chance in calls]
    wrong = min(p for named, won, p, _, _ in calls)
    said = "; ".join(
        f"{won}, expected {named}" + "".join(f", {rule} {name}" for rule, name in rules.items())
        for named, won, _, rules, _ in calls
    )
    by_rule = ", ".join(
        f"{rule} {sum(rules[rule] == won for _, won, _, rules, _ in calls)}" for rule in calls[0][3]
    )
    return Statement(
        _at_least(sum(right), chances),
        min(1.0, len(calls) * wrong),
        seeds,
        f"right in {sum(right)} of {len(calls)} with a certain winner ({by_rule}). Winners: {said}",
    )


def _call(arms: list[Trajectory]) -> tuple[str, str, float, dict[str, str], float] | None:
    """Forecast, winner, p-value of the null that they agree, rules, chance; None without a certain winner."""
    won = [leader(t, -1) for t in arms]
    names = {w[0] for w in won if w is not None}
    certain = all_of([w[1] for w in won if w is not None])
    if len(names) != 1 or certain.support >= LEVEL:
        return None
    base, name = arms[0], names.pop()
    named = _expected(base)
    expected = leads(named, real_formats(base), _tilt_versus(base))
    different = max(certain.family[0], expected.family[0]) if named != name else 1.0
    present = [f for f in real_formats(base) if base.share.estimate[0, base.formats.index(f)] > 0.0]
    return named, name, different, rules_of_thumb(base), 1.0 / max(len(present), 1)


def _expected(base: Trajectory) -> str:
    """The format that the tilt's limit expects to be the most frequent."""
    total = sum(share.sum(axis=0) for share in tilt_per_problem(base, 0.0))
    return max(real_formats(base), key=lambda name: float(total[base.formats.index(name)]))


def _tilt_versus(base: Trajectory) -> Versus:
    def versus(first: str, second: str) -> PairedTest:
        shares = tilt_per_problem(base, 0.0)
        i, j = base.formats.index(first), base.formats.index(second)
        return paired_test([s[:, j] for s in shares], [s[:, i] for s in shares], crossed=base.crossed)

    return versus


def _at_least(count: int, chances: list[float]) -> float:
    """Probability of at least `count` successes among independent trials with these chances."""
    exactly = [1.0]
    for chance in chances:
        longer = [0.0] * (len(exactly) + 1)
        for i, p in enumerate(exactly):
            longer[i] += p * (1.0 - chance)
            longer[i + 1] += p * chance
        exactly = longer
    return min(1.0, math.fsum(exactly[count:]))
