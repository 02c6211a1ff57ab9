"""Shares and accuracies with intervals that cover new training runs and new problems.

Every estimate is a ratio of sums over seeds and problems; its variance is split into what seeds, problems and
the rest contribute. docs/statistics.md has the model, the formulas and their measured error rates.

Shapes: S seeds, P problems of one seed, M statistics, each treated separately.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from echochamber.analysis.distributions import t_quantile

Array = npt.NDArray[np.float64]

LEVEL = 0.05
_WEIGHT_EXPONENT = 1.25
_TAIL_EXPONENT = 0.5
_LEAST_SEED_SPREAD = 0.02
NO_VARIANCE = 1e-18


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its 95 % interval; all three NaN where nothing was measured."""

    estimate: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside the interval."""
        return self.low > 0.0 or self.high < 0.0


@dataclass(frozen=True, slots=True)
class Bands:
    """Estimates with their 95 % intervals, three arrays of one shape; NaN where nothing was measured."""

    estimate: Array
    low: Array
    high: Array

    def at(self, index: int | tuple[int, ...]) -> Interval:
        """The interval of one statistic."""
        return Interval(float(self.estimate[index]), float(self.low[index]), float(self.high[index]))


@dataclass(frozen=True, slots=True)
class Spread:
    """Estimated variance of a mean and the degrees of freedom of that estimate, shape (M,) each.

    Attributes:
        tail_degrees_of_freedom: a smaller number for p-values far below 5 %, where too many degrees of
            freedom do the most harm.
    """

    variance: Array
    degrees_of_freedom: Array
    tail_degrees_of_freedom: Array


@dataclass(frozen=True, slots=True)
class Ratio:
    """What was counted: sum(numerator) / sum(denominator) is a share, or an accuracy within a format.

    Attributes:
        numerator, denominator: one (P, M) array per seed.
    """

    numerator: Sequence[Array]
    denominator: Sequence[Array]

    @classmethod
    def mean(cls, values_PM: Sequence[Array]) -> Ratio:
        """Mean of per-problem values, in which every problem has the same weight."""
        return cls(values_PM, [np.ones_like(v) for v in values_PM])

    def only(self, index: int) -> Ratio:
        """One of the statistics."""
        kept = slice(index, index + 1)
        return Ratio([n[:, kept] for n in self.numerator], [d[:, kept] for d in self.denominator])

    def shifted(self) -> Ratio:
        """Ratios between -1 and 1 moved to the range from 0 to 1."""
        pairs = zip(self.numerator, self.denominator, strict=True)
        return Ratio([(n + d) / 2.0 for n, d in pairs], self.denominator)

    @property
    def least(self) -> float:
        """The smallest numerator."""
        return min(float(n.min()) for n in self.numerator)

    @property
    def estimate(self) -> Array:
        """The ratios, shape (M,); NaN where the denominator is 0."""
        return divide(_sum(self.numerator), _sum(self.denominator))

    def residuals(self) -> list[Array]:
        """Each problem's contribution to the error: (numerator - ratio * denominator) / mean denominator.

        Their mean is 0 and their spread is, to first order, that of the ratio (Cochran 1977, section 6.3).
        """
        estimate = self.estimate
        num_values = sum(len(d) for d in self.denominator)
        mean = _sum(self.denominator) / num_values
        return [divide(n - estimate * d, mean) for n, d in zip(self.numerator, self.denominator, strict=True)]


def divide(numerator: Array, denominator: Array) -> Array:
    """Quotient, NaN where the denominator is 0."""
    result: Array = np.full(np.broadcast(numerator, denominator).shape, np.nan)
    np.divide(numerator, denominator, out=result, where=denominator != 0)
    return result


def _sum(values_PM: Sequence[Array]) -> Array:
    total: Array = np.sum([values.sum(axis=0) for values in values_PM], axis=0)
    return total


def spread(values_PM: Sequence[Array], *, crossed: bool) -> Spread:
    """Variance of the mean of all values over new training runs and problems; one (P, M) array per seed.

    With seeds that share their problems, a value is mu + seed + problem + rest, and

        variance = (MS_seed + max(MS_problem - MS_rest, 0)) / (S P)

    from the mean squares of the two-way table; `_crossed` has the degrees of freedom. If each seed has its
    own problems, the seed means already include what the problems contribute; the variance is that of the
    seed means, with S - 1 degrees of freedom. A single seed says nothing about new training runs: the
    variance is that over problems, with P - 1 degrees of freedom.
    """
    num_seeds = len(values_PM)
    if num_seeds == 1:
        return _between(values_PM[0])
    if not crossed or len(values_PM[0]) == 1:
        sums = np.stack([v.sum(axis=0) for v in values_PM])
        return _between(sums * (num_seeds / sum(len(v) for v in values_PM)))
    return _crossed(np.stack(values_PM))


def _between(units: Array) -> Spread:
    """Variance of the mean of independent units, shape (units, M); NaN for a single one."""
    count = len(units)
    if count < 2:
        nothing = np.full(units.shape[1], np.nan)
        return Spread(nothing, nothing, nothing)
    df = np.full(units.shape[1], count - 1.0)
    return Spread(units.var(axis=0, ddof=1) / count, df, df)


def _crossed(values_SPM: Array) -> Spread:
    """Variance components of a two-way table without repetition.

    Departures from the textbook, chosen by simulation (docs/statistics.md): MS_problem - MS_rest is cut off
    at 0. MS_seed is not replaced where it is below MS_rest: it is the only evidence of how much training runs
    differ, and pooling the two is overconfident where the runs differ a little. The degrees of freedom
    combine those of the two parts, 1/df = w^1.25 / (S - 1) + (1 - w)^1.25 / (P - 1) with w the weight of the
    seeds, where Satterthwaite uses squares: when MS_seed comes out small by chance, variance and weight are
    too small together, and squares then claim too many degrees of freedom. Where seeds differ by less than a
    fiftieth of what sampling alone explains (mostly equal counts), MS_seed is raised to that fiftieth.
    """
    num_seeds, num_problems, _ = values_SPM.shape
    seed_SM, problem_PM = values_SPM.mean(axis=1), values_SPM.mean(axis=0)
    seed_df, problem_df = num_seeds - 1.0, num_problems - 1.0
    rest_df = seed_df * problem_df
    total = values_SPM.var(axis=(0, 1)) * (num_seeds * num_problems)
    seed_sum = seed_SM.var(axis=0) * (num_seeds * num_problems)
    problem_sum = problem_PM.var(axis=0) * (num_seeds * num_problems)
    rest = np.maximum(total - seed_sum - problem_sum, 0.0) / rest_df
    seed = np.maximum(seed_sum / seed_df, _LEAST_SEED_SPREAD * rest)
    problem = problem_sum / problem_df
    excess = np.maximum(problem - rest, 0.0)
    sum_of_both = seed + excess
    seeds_weigh, problems_weigh = divide(seed, sum_of_both), divide(excess, sum_of_both)
    df, tail_df = (
        divide(np.ones_like(seed), seeds_weigh**power / seed_df + problems_weigh**power / problem_df)
        for power in (_WEIGHT_EXPONENT, _TAIL_EXPONENT)
    )
    return Spread(sum_of_both / (num_seeds * num_problems), df, tail_df)


def ratio_bands(measured: Ratio, *, crossed: bool) -> Bands:
    """Ratios that lie between 0 and 1, with score intervals (Wilson 1927) at the effective number of samples.

    n = p (1 - p) / variance is the number of independent samples that would be as uncertain (after Korn and
    Graubard 1998); Wilson's interval with it and Student's quantile stays within [0, 1] and never has zero
    width. Where nothing varies (0 of 160, or the same result on every problem) n is the number of problems,
    not of samples, because the samples of one problem are not independent of each other.
    """
    p, found = measured.estimate, spread(measured.residuals(), crossed=crossed)
    known = np.isfinite(found.variance) & (found.variance > NO_VARIANCE) & (p > 0.0) & (p < 1.0)
    samples = divide(p * (1.0 - p), np.where(known, found.variance, np.nan))
    n = np.where(known, samples, np.maximum(num_problems(measured, crossed=crossed), 1.0))
    t = t_quantile(np.where(known, found.degrees_of_freedom, np.inf))
    shrunk = 1.0 + t**2 / n
    center = (p + t**2 / (2.0 * n)) / shrunk
    half = t / shrunk * np.sqrt(np.maximum(p * (1.0 - p), 0.0) / n + (t / (2.0 * n)) ** 2)
    # The estimate is inside by algebra, but not always by floating point.
    low, high = np.minimum(center - half, p), np.maximum(center + half, p)
    return Bands(p, np.clip(low, 0.0, 1.0), np.clip(high, 0.0, 1.0))


def num_problems(measured: Ratio, *, crossed: bool) -> Array:
    """How many different problems contribute to each ratio."""
    present = [(d > 0).astype(float) for d in measured.denominator]
    return _sum([np.max(present, axis=0)] if crossed else present)
