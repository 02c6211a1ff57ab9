"""Bootstrap over problems, for forecasts, whose variance has no closed form.

Shapes: R resamples, P problems of one seed, M statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from echochamber.analysis.intervals import Array, Bands
from echochamber.base import derive_seed

NUM_RESAMPLES = 1000


class ProblemBootstrap:
    """Percentile bootstrap over problems (Efron and Tibshirani 1993, chapter 13); seeds are not resampled.

    Its intervals are about these runs on new problems and say nothing about training again. Where seeds share
    their problems, one draw serves all of them; otherwise each seed has its own. The samples of one problem
    stay together because they are not independent of each other.
    """

    def __init__(
        self, num_problems: Sequence[int], *, crossed: bool, num_resamples: int = NUM_RESAMPLES
    ) -> None:
        if not num_problems or min(num_problems) < 1:
            raise ValueError(f"need at least one seed and one problem per seed, not {list(num_problems)}")
        if crossed and len(set(num_problems)) > 1:
            raise ValueError(f"crossed seeds must share their problems, not {list(num_problems)}")
        self._weights_RP = [
            _multiplicities(count, num_resamples, derive_seed(0, "bootstrap problems", 0 if crossed else i))
            for i, count in enumerate(num_problems)
        ]

    def totals(self, values_PM: Sequence[Array]) -> Array:
        """Sums over each resample, shape (R, M), from one (P, M) array per seed."""
        total: Array = np.sum([w @ v for w, v in zip(self._weights_RP, values_PM, strict=True)], axis=0)
        return total


@lru_cache(maxsize=64)
def _multiplicities(num_problems: int, num_resamples: int, seed: int) -> Array:
    """How often each problem is drawn in each resample; shape (R, P), rows sum to P."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(num_problems, size=(num_resamples, num_problems))
    drawn += np.arange(num_resamples)[:, None] * num_problems
    counts = np.bincount(drawn.ravel(), minlength=num_resamples * num_problems)
    return counts.reshape(num_resamples, num_problems).astype(np.float64)


def percentile_bands(estimate_M: Array, resampled_RM: Array) -> Bands:
    """95 % bands; resamples in which a statistic is undefined are left out of its interval."""
    low, high = np.full_like(estimate_M, np.nan), np.full_like(estimate_M, np.nan)
    defined = np.isfinite(resampled_RM).any(axis=0)
    if defined.any():
        low[defined], high[defined] = np.nanpercentile(resampled_RM[:, defined], [2.5, 97.5], axis=0)
    return Bands(estimate_M, low, high)
