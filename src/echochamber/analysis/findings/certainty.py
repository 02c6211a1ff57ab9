"""Which format leads, and how certain that is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from echochamber.analysis.contrasts import Statement, all_of, beyond
from echochamber.analysis.headline import points
from echochamber.analysis.intervals import Array, Ratio
from echochamber.analysis.paired_tests import PairedTest, paired_test, ratio_test
from echochamber.analysis.trajectories import NOT_A_FORMAT, Trajectory

Versus = Callable[[str, str], PairedTest]
"""The test of one format's number minus another's."""


def real_formats(t: Trajectory) -> list[str]:
    """The labels that are formats."""
    return [name for name in t.formats if name not in NOT_A_FORMAT]


def leads(name: str, others: Sequence[str], versus: Versus) -> Statement:
    """That one format is ahead of each of the others."""
    return all_of([beyond(versus(name, other), +1) for other in others if other != name])


def share_versus(t: Trajectory, index: int) -> Versus:
    """Differences of shares at one evaluated step."""

    def versus(first: str, second: str) -> PairedTest:
        after, before = (t.share_per_problem(index, name) for name in (first, second))
        return paired_test(before, after, crossed=t.crossed)

    return versus


def accuracy_versus(t: Trajectory, index: int) -> Versus:
    """Differences of the accuracies within two formats at one evaluated step."""

    def ratio(name: str) -> Ratio:
        f = t.formats.index(name)
        return Ratio(
            [c.reward[:, index, f, None] for c in t.counts],
            [c.completions[:, index, f, None] for c in t.counts],
        )

    return lambda first, second: ratio_test(ratio(second), ratio(first), crossed=t.crossed)


def leader(t: Trajectory, index: int) -> tuple[str, Statement] | None:
    """The format with the largest share at a step, and that it leads; None with fewer than two formats."""
    names = real_formats(t)
    if len(names) < 2:
        return None
    shares = {name: float(t.share.estimate[index, t.formats.index(name)]) for name in names}
    name = max(shares, key=lambda n: shares[n])
    return name, leads(name, names, share_versus(t, index))


def mean(values_P: Sequence[Array]) -> float:
    """Mean over seeds and problems."""
    return float(np.concatenate(list(values_P)).mean())


def difference(test: PairedTest) -> str:
    """A difference in points with its interval; without the interval if it is one number of one run."""
    d = test.difference
    if test.num_problems == test.num_seeds == 1:
        return points(d.estimate)
    return f"{points(d.estimate)} [{points(d.low, '')}, {points(d.high, '')}]"
