"""Uncertainty of shares and accuracies: hierarchical bootstrap, paired tests, detectable differences.

Shapes: R resamples, P problems of one seed, M statistics.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from echochamber.base import derive_seed

Array = npt.NDArray[np.float64]

NUM_RESAMPLES = 1000


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


class Bootstrap:
    """Hierarchical bootstrap over seeds and, within them, over problems.

    Each resample draws seeds with replacement and problems with replacement;
    the statistic is recomputed on the draw, and the interval is the 2.5 to
    97.5 percentile range of all resamples (Efron and Tibshirani 1993, ch. 13).
    Where seeds share their problems (a study's default), one draw of problems
    serves all seeds of a resample, as the two are crossed; otherwise each
    seed has its own draw. Samples of one problem stay together: they are not
    independent of each other.

    With one seed the interval covers the choice of problems and the noise of
    sampling, and nothing about training again. With two or three seeds it is
    known to be too narrow; read it as a lower bound.

    Two bootstraps of equal shape use the same draws, which is what makes
    differences between them paired.
    """

    def __init__(
        self, num_problems: Sequence[int], *, crossed: bool, num_resamples: int = NUM_RESAMPLES, seed: int = 0
    ) -> None:
        if not num_problems or min(num_problems) < 1:
            raise ValueError(f"need at least one seed and one problem a seed, not {list(num_problems)}")
        if crossed and len(set(num_problems)) > 1:
            raise ValueError(f"crossed seeds must share their problems, not {list(num_problems)}")
        num_seeds = len(num_problems)
        rng = np.random.default_rng(derive_seed(seed, "bootstrap seeds", num_seeds))
        self._seed_weights_RS: Array = rng.multinomial(
            num_seeds, np.full(num_seeds, 1.0 / num_seeds), size=num_resamples
        ).astype(np.float64)
        self._problem_weights_RP = [
            _multiplicities(
                count, num_resamples, derive_seed(seed, "bootstrap problems", 0 if crossed else i)
            )
            for i, count in enumerate(num_problems)
        ]

    def totals(self, values_PM: Sequence[Array]) -> Array:
        """Sums over each resample, shape (R, M), from one (P, M) array a seed."""
        total = np.zeros((len(self._seed_weights_RS), values_PM[0].shape[1]))
        for i, (weights_RP, values) in enumerate(zip(self._problem_weights_RP, values_PM, strict=True)):
            total += self._seed_weights_RS[:, i : i + 1] * (weights_RP @ values)
        return total

    def ratio(self, numerator_PM: Sequence[Array], denominator_PM: Sequence[Array]) -> Bands:
        """Bands of sum(numerator) / sum(denominator): a share, or an accuracy within a format."""
        return bands(
            divide(_sum(numerator_PM), _sum(denominator_PM)),
            divide(self.totals(numerator_PM), self.totals(denominator_PM)),
        )


@lru_cache(maxsize=64)
def _multiplicities(num_problems: int, num_resamples: int, seed: int) -> Array:
    """How often each problem is drawn in each resample; shape (R, P), rows sum to P."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(num_problems, size=(num_resamples, num_problems))
    drawn += np.arange(num_resamples)[:, None] * num_problems
    counts = np.bincount(drawn.ravel(), minlength=num_resamples * num_problems)
    return counts.reshape(num_resamples, num_problems).astype(np.float64)


def _sum(values_PM: Sequence[Array]) -> Array:
    total: Array = np.sum([values.sum(axis=0) for values in values_PM], axis=0)
    return total


def divide(numerator: Array, denominator: Array) -> Array:
    """Quotient, NaN where the denominator is 0."""
    result: Array = np.full(np.broadcast(numerator, denominator).shape, np.nan)
    np.divide(numerator, denominator, out=result, where=denominator != 0)
    return result


def bands(estimate_M: Array, resampled_RM: Array) -> Bands:
    """Percentile bands; resamples in which a statistic is undefined are left out of its interval."""
    low, high = np.full_like(estimate_M, np.nan), np.full_like(estimate_M, np.nan)
    defined = np.isfinite(resampled_RM).any(axis=0)
    if defined.any():
        low[defined], high[defined] = np.nanpercentile(resampled_RM[:, defined], [2.5, 97.5], axis=0)
    return Bands(estimate_M, low, high)


@dataclass(frozen=True, slots=True)
class PairedTest:
    """A difference between two measurements of the same problems.

    Attributes:
        difference: after minus before, with its bootstrap interval over problems and seeds.
        p_value: two-sided sign-flip test over problems: how often chance alone, flipping which of the two
            measurements of a problem comes first, makes a mean difference at least this large.
        minimum_detectable: true difference that this design finds in 80 % of repetitions at the 5 % level.
        num_problems: problems that were compared.
        num_seeds: training runs behind each measurement.
    """

    difference: Interval
    p_value: float
    minimum_detectable: float
    num_problems: int
    num_seeds: int

    @property
    def inside_noise(self) -> bool:
        """Whether the interval or the test leaves room for no difference at all."""
        return not self.difference.excludes_zero or self.p_value >= 0.05


def paired_test(
    before_P: Sequence[Array], after_P: Sequence[Array], *, crossed: bool, num_resamples: int = NUM_RESAMPLES
) -> PairedTest:
    """Compare two measurements, one array of per-problem values a seed each, aligned problem by problem.

    The sign-flip test (Fisher 1935) averages the seeds of a problem first where
    problems are shared, since those are not independent observations of it.

    Raises:
        ValueError: shapes differ.
    """
    if [len(b) for b in before_P] != [len(a) for a in after_P]:
        raise ValueError("before and after must hold the same problems")
    delta_P = [after - before for before, after in zip(before_P, after_P, strict=True)]
    bootstrap = Bootstrap([len(d) for d in delta_P], crossed=crossed, num_resamples=num_resamples)
    columns = [d[:, None] for d in delta_P]
    difference = bootstrap.ratio(columns, [np.ones_like(c) for c in columns]).at(0)
    units = np.mean(delta_P, axis=0) if crossed else np.concatenate(delta_P)
    deviation = float(np.std(units, ddof=1)) if len(units) > 1 else math.nan
    return PairedTest(
        difference=difference,
        p_value=_sign_flip(units, num_resamples=4 * num_resamples),
        minimum_detectable=minimum_detectable_difference(len(units), deviation),
        num_problems=len(units),
        num_seeds=len(delta_P),
    )


def _sign_flip(units: Array, *, num_resamples: int) -> float:
    """Two-sided Monte Carlo sign-flip p-value of mean zero; the observed arrangement counts as one draw."""
    moving = units[units != 0.0]
    if not len(moving):
        return 1.0
    rng = np.random.default_rng(derive_seed(0, "sign flip", len(moving)))
    observed = abs(moving.sum())
    extreme = 1
    for start in range(0, num_resamples, 1000):
        count = min(1000, num_resamples - start)
        signs = rng.integers(2, size=(count, len(moving))) * 2.0 - 1.0
        extreme += int((np.abs(signs @ moving) >= observed - 1e-12).sum())
    return extreme / (num_resamples + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number by Holm's step-down method (1979), in the given order."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = running
    return adjusted


def minimum_detectable_difference(
    num_problems: int, standard_deviation: float = math.sqrt(0.5), *, power: float = 0.8, level: float = 0.05
) -> float:
    """Smallest true mean difference that a paired comparison finds with the given power.

    (z(1 - level/2) + z(power)) * deviation / sqrt(problems), for a two-sided
    test at `level` (normal approximation; Miller 2024, arXiv:2411.00640, eq. 9).

    Args:
        num_problems: independent problems compared.
        standard_deviation: of the per-problem differences. The default is the largest one two unrelated
            single-sample measurements can have (accuracy 1/2 each); more samples a problem and related
            models make it smaller.
    """
    normal = NormalDist()
    return (
        (normal.inv_cdf(1 - level / 2) + normal.inv_cdf(power)) * standard_deviation / math.sqrt(num_problems)
    )
