"""Student's t, the beta distribution and the power of a t test, for whole arrays of degrees of freedom."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_LARGEST_T = 1e8
_FEWEST_DF = 0.5


def t_p_value(t: npt.ArrayLike, df: npt.ArrayLike) -> Array:
    """Two-sided p-value of a t statistic; infinite degrees of freedom give the normal distribution."""
    t, df = np.broadcast_arrays(np.asarray(t, float), np.minimum(np.asarray(df, float), 1e10))
    with np.errstate(over="ignore"):
        return incomplete_beta(df / 2.0, 0.5, df / (df + t * t))


def t_quantile(df: npt.ArrayLike) -> Array:
    """The value that |t| exceeds in 5 % of cases; 1.96 for infinite degrees of freedom.

    Interpolated in 1/df between exactly computed values; the error is below one part in a million.
    """
    inverse, logarithm = _t_table()
    found: Array = np.exp(np.interp(1.0 / np.maximum(np.asarray(df, float), _FEWEST_DF), inverse, logarithm))
    return found


@cache
def _t_table() -> tuple[Array, Array]:
    inverse = np.linspace(0.0, 1.0 / _FEWEST_DF, 2001)
    df = 1.0 / np.maximum(inverse, 1e-9)
    low, high = np.zeros_like(df), np.full_like(df, _LARGEST_T)
    for _ in range(100):
        middle = (low + high) / 2.0
        inside = t_p_value(middle, df) > 0.05
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return inverse, np.log((low + high) / 2.0)


def incomplete_beta(a: npt.ArrayLike, b: npt.ArrayLike, x: npt.ArrayLike) -> Array:
    """Regularized incomplete beta function I_x(a, b), by its continued fraction (DLMF 8.17.22)."""
    a, b, x = np.broadcast_arrays(*(np.asarray(value, float) for value in (a, b, x)))
    mirrored = x > (a + 1.0) / (a + b + 2.0)
    p, q, y = np.where(mirrored, b, a), np.where(mirrored, a, b), np.where(mirrored, 1.0 - x, x)
    inside = (y > 0.0) & (y < 1.0)
    safe = np.where(inside, y, 0.5)
    logarithm = _log_gamma(p + q) - _log_gamma(p) - _log_gamma(q) + p * np.log(safe) + q * np.log1p(-safe)
    value = np.where(inside, np.exp(logarithm) / p * _fraction(p, q, safe), np.where(y <= 0.0, 0.0, 1.0))
    return np.where(mirrored, 1.0 - value, value)


def _fraction(a: Array, b: Array, x: Array) -> Array:
    """The continued fraction of the incomplete beta function, evaluated by Lentz's method."""
    c, d = np.ones_like(x), 1.0 / (1.0 - (a + b) * x / (a + 1.0))
    value = d.copy()
    for m in range(1, 500):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        change = np.ones_like(x)
        for term in (even, odd):
            d, c = 1.0 / (1.0 + term * d), 1.0 + term / c
            change = change * (c * d)
        value = value * change
        if np.all(np.abs(change - 1.0) < 1e-14):
            break
    return value


def _log_gamma(x: Array) -> Array:
    values, places = np.unique(x, return_inverse=True)
    return np.array([math.lgamma(value) for value in values])[places].reshape(x.shape)


def count_interval(successes: int, trials: int) -> tuple[float, float]:
    """Clopper and Pearson's exact 95 % interval (1934) of a probability, from a count of independent trials.

    Raises:
        ValueError: no trials, or more successes than trials.
    """
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"{successes} of {trials}: expected a count between 0 and at least one trial")
    low = 0.0 if successes == 0 else _beta_quantile(0.025, successes, trials - successes + 1)
    high = 1.0 if successes == trials else _beta_quantile(0.975, successes + 1, trials - successes)
    return low, high


def _beta_quantile(probability: float, a: float, b: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2.0
        if float(incomplete_beta(a, b, middle)) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0


def detectable(df: npt.ArrayLike) -> Array:
    """The difference, in estimated standard errors, that is detected four times out of five.

    A study only estimates its standard error: it gets the true one times W, where W^2 is chi-squared divided
    by its degrees of freedom. A repetition of the study has its own W' and detects the difference when
    |c W + Z| > t W', with Z standard normal. This returns the c at which that happens in 80 % of pairs of
    studies; with many degrees of freedom it is 1.960 + 0.842.
    """
    places, values = _detectable_table()
    found: Array = np.exp(np.interp(1.0 / np.maximum(np.asarray(df, float), _FEWEST_DF), places, values))
    return found


@cache
def _detectable_table() -> tuple[Array, Array]:
    places = np.concatenate([np.linspace(0.0, 0.5, 11), np.linspace(0.6, 1.0 / _FEWEST_DF, 15)])
    return places, np.log([_detectable(1.0 / max(place, 1e-4)) for place in places])


def _detectable(df: float) -> float:
    logarithm = np.linspace(-14.0 / math.sqrt(df) - 1.0 / df, 6.0 / math.sqrt(df), 121)
    density = df * logarithm - df / 2.0 * np.exp(2.0 * logarithm)
    weight = np.exp(density - density.max())
    weight, w = weight / weight.sum(), np.exp(logarithm)
    threshold = float(t_quantile(df)) * w
    low, high = 0.0, 7.0
    for _ in range(24):  # of the logarithm of c
        middle = (low + high) / 2.0
        c = math.exp(middle)
        found = _normal(c * w[:, None] - threshold) + _normal(-c * w[:, None] - threshold)
        low, high = (middle, high) if float(weight @ found @ weight) < 0.8 else (low, middle)
    return math.exp((low + high) / 2.0)


def _normal(z: Array) -> Array:
    """The normal distribution function, to 1e-7 (Abramowitz and Stegun 26.2.17)."""
    size = np.abs(z)
    k = 1.0 / (1.0 + 0.2316419 * size)
    series = k * (0.319381530 + k * (-0.356563782 + k * (1.781477937 + k * (-1.821255978 + k * 1.330274429))))
    tail = np.exp(-0.5 * size * size) / math.sqrt(2.0 * math.pi) * series
    return np.where(z < 0.0, tail, 1.0 - tail)
