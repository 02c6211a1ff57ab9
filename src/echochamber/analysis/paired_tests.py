"""Tests of whether two measurements of the same problems differ, over new training runs and problems.

The variance behind each test is that of intervals.py; docs/statistics.md has the measured error rates.

Shapes: M statistics, each treated separately.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from echochamber.analysis.distributions import detectable, t_p_value, t_quantile
from echochamber.analysis.intervals import (
    LEVEL,
    NO_VARIANCE,
    Array,
    Bands,
    Interval,
    Ratio,
    num_problems,
    ratio_bands,
    spread,
)

About = Literal["trainings", "runs"]


@dataclass(frozen=True, slots=True)
class Differences:
    """Differences between two measurements of the same problems, arrays of shape (M,)."""

    difference: Bands
    p_value: Array
    family_p_value: Array
    degrees_of_freedom: Array
    minimum_detectable: Array


def compare(before: Ratio, after: Ratio, *, crossed: bool) -> Differences:
    """After minus before with a t interval over seeds and problems, separately for each statistic.

    The detectable difference uses the geometric mean of the two degrees of freedom of `spread`: in
    simulations, a difference of that size is then found four times in five. Where nothing varies (0 of 160
    against 0 of 160) the interval is combined from the score intervals of the two sides (Newcombe 1998,
    method 10), and p comes from a normal test of two proportions over problems.
    """
    residuals = [a - b for b, a in zip(before.residuals(), after.residuals(), strict=True)]
    found = spread(residuals, crossed=crossed)
    estimate = after.estimate - before.estimate
    known = np.isfinite(found.variance) & (found.variance > NO_VARIANCE)
    error = np.sqrt(np.where(known, found.variance, 1.0))
    df, tail_df = (
        np.where(known, d, np.inf) for d in (found.degrees_of_freedom, found.tail_degrees_of_freedom)
    )
    half, t = t_quantile(df) * error, estimate / error
    low, high, p_value, family_p_value = (
        estimate - half,
        estimate + half,
        t_p_value(t, df),
        t_p_value(t, tail_df),
    )
    detected = detectable(np.sqrt(df * tail_df)) * error
    for i in np.flatnonzero(~known):
        low[i], high[i], p_value[i] = _without_variance(
            before.only(int(i)), after.only(int(i)), estimate[i], crossed=crossed
        )
        family_p_value[i] = p_value[i]
        detected[i] = detectable(math.inf) * (high[i] - low[i]) / (2.0 * t_quantile(math.inf))
    return Differences(Bands(estimate, low, high), p_value, family_p_value, df, detected)


def _without_variance(
    before: Ratio, after: Ratio, estimate: float, *, crossed: bool
) -> tuple[float, float, float]:
    """Ends of the interval and p-value of one difference whose observed variance is 0."""
    if not math.isfinite(estimate):
        return math.nan, math.nan, 1.0
    if before.least < 0.0 or after.least < 0.0:  # differences of differences lie between -1 and 1
        low, high, p_value = _without_variance(
            before.shifted(), after.shifted(), estimate / 2.0, crossed=crossed
        )
        return 2.0 * low, 2.0 * high, p_value
    first, second = (ratio_bands(r, crossed=crossed).at(0) for r in (before, after))
    below = math.hypot(second.estimate - second.low, first.high - first.estimate)
    above = math.hypot(second.high - second.estimate, first.estimate - first.low)
    middle = (first.estimate + second.estimate) / 2.0
    problems = float(num_problems(after, crossed=crossed)[0])
    error = math.sqrt(max(2.0 * middle * (1.0 - middle), 0.0) / problems)
    p_value = float(t_p_value(estimate / error, math.inf)) if error else 1.0
    return estimate - below, estimate + above, p_value


@dataclass(frozen=True, slots=True)
class PairedTest:
    """A difference between two measurements of the same problems.

    Attributes:
        difference: after minus before, with its 95 % interval.
        p_value: of no difference, from the same t distribution as the interval.
        family_p_value: the same for use in a family of tests, see `corrected`.
        minimum_detectable: true difference that a repetition of this study finds four times in five at the
            5 % level, before any correction for several comparisons.
        num_problems: problems that were compared.
        num_seeds: training runs behind each measurement.
        degrees_of_freedom: of the t distribution; infinite where nothing varied.
    """

    difference: Interval
    p_value: float
    minimum_detectable: float
    num_problems: int
    num_seeds: int
    degrees_of_freedom: float
    family_p_value: float

    @property
    def about(self) -> About:
        """What the test is about: new training runs, or with one seed only these; on new problems in both."""
        return "trainings" if self.num_seeds > 1 else "runs"

    @property
    def inside_noise(self) -> bool:
        """Whether the interval or the test leaves room for no difference at all."""
        return not self.difference.excludes_zero or self.p_value >= LEVEL


def ratio_test(before: Ratio, after: Ratio, *, crossed: bool) -> PairedTest:
    """Compare one ratio (M = 1) before and after, aligned problem by problem.

    Raises:
        ValueError: shapes differ.
    """
    if [d.shape for d in before.denominator] != [d.shape for d in after.denominator]:
        raise ValueError("before and after must hold the same problems")
    found = compare(before, after, crossed=crossed)
    sizes = [len(d) for d in after.denominator]
    return PairedTest(
        difference=found.difference.at(0),
        p_value=float(found.p_value[0]),
        minimum_detectable=float(found.minimum_detectable[0]),
        num_problems=sizes[0] if crossed else sum(sizes),
        num_seeds=len(sizes),
        degrees_of_freedom=float(found.degrees_of_freedom[0]),
        family_p_value=float(found.family_p_value[0]),
    )


def paired_test(before_P: Sequence[Array], after_P: Sequence[Array], *, crossed: bool) -> PairedTest:
    """Compare two measurements, one array of per-problem values per seed, aligned problem by problem.

    Args:
        before_P, after_P: values between 0 and 1, or between -1 and 1 for differences of differences.
        crossed: whether all seeds were measured on the same problems.

    Raises:
        ValueError: shapes differ.
    """
    if [len(b) for b in before_P] != [len(a) for a in after_P]:
        raise ValueError("before and after must hold the same problems")
    before, after = (Ratio.mean([values[:, None] for values in side]) for side in (before_P, after_P))
    return ratio_test(before, after, crossed=crossed)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number by Holm's step-down method (1979), in the given order."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = running
    return adjusted


def corrected(tests: Sequence[PairedTest]) -> list[float]:
    """p-values of a family of tests, corrected for their number by Holm's method; a single one is unchanged.

    After the correction only p-values far below 5 % count. There a few degrees of freedom too many do the
    most harm, so a family uses p-values with fewer of them: at three seeds the plain ones found a difference
    among four equal arms in up to 11 % of studies (docs/statistics.md).
    """
    if len(tests) == 1:
        return [tests[0].p_value]
    return holm([test.family_p_value for test in tests])
