"""Statements about numbers, and how certain they are: the shared logic of findings and endpoints.

A statement carries two p-values. `support` is how likely data like these are if it is false, `against` how
likely they are if it is true; each belongs to one direction of a two-sided test at 5 %, and at most one of
them is below 1. Statements are combined with two quantifiers. *All of them*: supported when each one is (an
intersection-union test, Berger 1982, which needs no correction), contradicted when one is, after Holm's
correction for their number. *At least one*: the other way around.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from echochamber.analysis.distributions import t_p_value, t_quantile
from echochamber.analysis.intervals import LEVEL, Array, Interval, Ratio, spread
from echochamber.analysis.paired_tests import PairedTest, paired_test, ratio_test
from echochamber.analysis.trajectories import Trajectory


@dataclass(frozen=True)
class Statement:
    """One statement, tested.

    Attributes:
        support: p-value of the null that it is false.
        against: p-value of the null that it is true.
        num_seeds: training runs behind it; the smallest number among its parts.
        evidence: the numbers in words.
        family: support and against for use in a correction for several statements, where p-values far below
            5 % have to be right (see `statistics.corrected`); the same two values if not given.
    """

    support: float
    against: float
    num_seeds: int
    evidence: str = ""
    family: tuple[float, float] = (math.nan, math.nan)

    def __post_init__(self) -> None:
        if math.isnan(self.family[0]):
            object.__setattr__(self, "family", (self.support, self.against))

    @property
    def outcome(self) -> Literal["supported", "contradicted", "open"]:
        """What the two p-values say at the 5 % level."""
        if self.support < LEVEL <= self.against:
            return "supported"
        return "contradicted" if self.against < LEVEL <= self.support else "open"

    def saying(self, evidence: str) -> Statement:
        """The same statement with a different text of evidence."""
        return replace(self, evidence=evidence)


def all_of(parts: Sequence[Statement], evidence: str | None = None) -> Statement:
    """That every part is true."""
    against = _smallest([(p.against, p.family[1]) for p in parts])
    return Statement(
        max(p.support for p in parts),
        against[0],
        min(p.num_seeds for p in parts),
        _joined(parts) if evidence is None else evidence,
        (max(p.family[0] for p in parts), against[1]),
    )


def any_of(parts: Sequence[Statement], evidence: str | None = None) -> Statement:
    """That at least one part is true."""
    return opposite(all_of([opposite(p) for p in parts], _joined(parts) if evidence is None else evidence))


def opposite(found: Statement) -> Statement:
    """That a statement is false."""
    family = (found.family[1], found.family[0])
    return Statement(found.against, found.support, found.num_seeds, found.evidence, family)


def _smallest(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The smallest p-value after Holm's correction, plain and for a family; a single one is unchanged."""
    if len(pairs) == 1:
        return pairs[0]
    strict = min(1.0, len(pairs) * min(family for _, family in pairs))
    return strict, strict


def _joined(parts: Sequence[Statement]) -> str:
    return "; ".join(p.evidence for p in parts if p.evidence)


def beyond(test: PairedTest, direction: int, threshold: float = 0.0, evidence: str = "") -> Statement:
    """That a difference lies above the threshold (direction +1) or below it (direction -1)."""
    distance = test.difference.estimate - threshold
    plain = test.p_value, test.family_p_value
    p_value, family = plain if threshold == 0.0 else _shifted_p(test, distance)
    if not math.isfinite(distance) or distance == 0.0:
        return Statement(1.0, 1.0, test.num_seeds, evidence)
    agrees = direction * distance > 0
    found = Statement(p_value, 1.0, test.num_seeds, evidence, (family, 1.0))
    return found if agrees else opposite(found)


def within(test: PairedTest, margin: float, evidence: str = "") -> Statement:
    """That a difference is smaller than the margin either way (two one-sided tests, Schuirmann 1987)."""
    return all_of([beyond(test, -1, margin), beyond(test, +1, -margin)], evidence)


def _shifted_p(test: PairedTest, distance: float) -> tuple[float, float]:
    """p-values of a difference that lies `distance` from a threshold, from the width of its interval.

    The second, for a family, has the fewest degrees of freedom that a study with this many seeds can have.
    """
    df = test.degrees_of_freedom
    half = (test.difference.high - test.difference.low) / 2.0
    if not math.isfinite(half) or half <= 0.0:
        return 1.0, 1.0
    t = distance / half * float(t_quantile(df))
    fewest = min(df, test.num_seeds - 1.0) if test.num_seeds > 1 else df
    return float(t_p_value(t, df)), float(t_p_value(t, fewest))


def aligned(*some: Trajectory) -> tuple[Trajectory, ...] | None:
    """The trajectories with only the seeds they share; None if those were measured on different problems."""
    shared = [c.seed for c in some[0].counts if all(c.seed in {d.seed for d in t.counts} for t in some)]
    kept = tuple(t.with_seeds(shared) for t in some)
    problems = [[c.problems for c in t.counts] for t in kept]
    return kept if shared and all(p == problems[0] for p in problems) else None


def weighted(terms: Sequence[tuple[float, Sequence[Array]]], *, crossed: bool) -> PairedTest:
    """The test that a weighted sum of per-problem values is 0; weights of one sign sum to at most 1."""
    zero = [np.zeros_like(v) for v in terms[0][1]]
    sides = {+1: list(zero), -1: list(zero)}
    for weight, values_P in terms:
        side = +1 if weight > 0 else -1
        sides[side] = [total + abs(weight) * v for total, v in zip(sides[side], values_P, strict=True)]
    return paired_test(sides[-1], sides[+1], crossed=crossed)


def over_seeds(differences: Sequence[float]) -> PairedTest:
    """A t test over one number per seed, for numbers that are not means over problems."""
    return paired_test(
        [np.zeros(1) for _ in differences], [np.array([float(d)]) for d in differences], crossed=True
    )


@dataclass(frozen=True)
class Term:
    """One measured ratio in a sum, with its sign and what it was measured on."""

    sign: int
    ratio: Ratio
    problems: tuple[tuple[str, ...], ...]


def sum_of(terms: Sequence[Term]) -> PairedTest:
    """The test that a signed sum of ratios, all over the same seeds, is 0.

    Ratios measured on the same problems are paired problem by problem; those on other problems count as
    independent, which is conservative where a seed moves both in the same direction.
    """
    groups: dict[tuple[tuple[str, ...], ...], list[Term]] = {}
    for term in terms:
        groups.setdefault(term.problems, []).append(term)
    if len(terms) == 2 and len(groups) == 1 and terms[0].sign + terms[1].sign == 0:
        after, before = sorted(terms, key=lambda term: -term.sign)
        return ratio_test(before.ratio, after.ratio, crossed=_crossed(after.problems))
    estimate = sum(t.sign * float(t.ratio.estimate[0]) for t in terms)
    variance, inverse, tail = 0.0, 0.0, 0.0
    for problems, some in groups.items():
        residuals = [
            np.sum([t.sign * r for t, r in zip(some, parts, strict=True)], axis=0)
            for parts in zip(*(t.ratio.residuals() for t in some), strict=True)
        ]
        found = spread(residuals, crossed=_crossed(problems))
        variance += float(found.variance[0])
        inverse += float(found.variance[0]) ** 2 / float(found.degrees_of_freedom[0])
        tail += float(found.variance[0]) ** 2 / float(found.tail_degrees_of_freedom[0])
    num_problems = sum(len(seed) for seed in set(terms[0].problems))
    num_seeds = len(terms[0].problems)
    if not math.isfinite(variance) or variance <= 1e-18:  # nothing varied, so the error is unknown
        everything = Interval(estimate, -float(len(terms)), float(len(terms)))
        return PairedTest(everything, 1.0, math.nan, num_problems, num_seeds, math.inf, 1.0)
    error, df = math.sqrt(variance), variance**2 / inverse
    half = float(t_quantile(df)) * error
    return PairedTest(
        difference=Interval(estimate, estimate - half, estimate + half),
        p_value=float(t_p_value(estimate / error, df)),
        minimum_detectable=math.nan,
        num_problems=num_problems,
        num_seeds=num_seeds,
        degrees_of_freedom=df,
        family_p_value=float(t_p_value(estimate / error, variance**2 / tail)),
    )


def _crossed(problems: Sequence[tuple[str, ...]]) -> bool:
    return len(set(problems)) == 1


def halves(num_problems: int) -> tuple[slice, slice]:
    """The problems in two halves: one finds a step or a sign, the other measures the effect there.

    A quantity that is chosen for being large looks large by chance when it is measured on the same data; on
    data that played no part in the choice it does not.
    """
    return slice(0, num_problems, 2), slice(1, num_problems, 2)
