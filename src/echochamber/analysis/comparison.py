"""Comparisons between arms."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from echochamber.analysis.contrasts import aligned
from echochamber.analysis.intervals import LEVEL
from echochamber.analysis.paired_tests import About, PairedTest, corrected, paired_test
from echochamber.analysis.trajectories import Trajectory
from echochamber.evaluation import Cell


@dataclass(frozen=True)
class ArmComparison:
    """pass@1 of one arm minus another, both at their last step, on the same problems and seeds.

    With one seed it compares two runs, which says nothing about the two algorithms: `about` is "runs".

    Attributes:
        first, second: the arms; the difference is first minus second.
        test: the paired comparison.
        adjusted_p: its p-value after Holm's correction for the number of pairs.
    """

    first: Cell
    second: Cell
    test: PairedTest
    adjusted_p: float

    @property
    def inside_noise(self) -> bool:
        """Whether chance explains the difference, given how many pairs were compared."""
        return not self.test.difference.excludes_zero or self.adjusted_p >= LEVEL

    @property
    def about(self) -> About:
        """What the comparison is about: training runs in general, or only these two runs."""
        return self.test.about

    @property
    def distinction(self) -> Distinction:
        """Whether the two differ, in words that claim no more than the number of seeds allows."""
        return distinction(self.about, inside_noise=self.inside_noise)


Distinction = Literal[
    "different",
    "cannot tell",
    "these two runs differ on these problems",
    "these two runs cannot be told apart",
]


def distinction(about: About, *, inside_noise: bool) -> Distinction:
    """The outcome of a comparison in words: in general with several seeds, about two runs with one."""
    if about == "trainings":
        return "cannot tell" if inside_noise else "different"
    return (
        "these two runs cannot be told apart" if inside_noise else "these two runs differ on these problems"
    )


def compare_arms(arms: Sequence[Trajectory]) -> list[ArmComparison]:
    """Every pair of arms measured on the same problems, in the study's order."""
    pairs = []
    for first, second in itertools.combinations(arms, 2):
        a, b = common_seeds(first, second)
        if a is not None and b is not None:
            test = paired_test(b.accuracy_per_problem(-1), a.accuracy_per_problem(-1), crossed=a.crossed)
            pairs.append((first.cell, second.cell, test))
    adjusted = corrected([test for _, _, test in pairs])
    return [ArmComparison(*pair, p) for pair, p in zip(pairs, adjusted, strict=True)]


def common_seeds(first: Trajectory, second: Trajectory) -> tuple[Trajectory, Trajectory] | tuple[None, None]:
    """Both trajectories with only the seeds they share; None if they were measured on different problems."""
    found = aligned(first, second)
    return (found[0], found[1]) if found else (None, None)
