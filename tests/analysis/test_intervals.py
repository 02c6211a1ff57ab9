"""Variance components and score intervals: by hand, and what must hold of any."""

import math

import numpy as np
import pytest

from echochamber.analysis import Ratio, ratio_bands
from echochamber.analysis.intervals import spread


def band(values: list[np.ndarray], *, crossed: bool = True):
    return ratio_bands(Ratio.mean([v[:, None] for v in values]), crossed=crossed).at(0)


def test_two_way_table_by_hand() -> None:
    # Seeds (1, 3) and (2, 6) on two problems: seed means 2 and 4, problem means 1.5 and 4.5, all 3.
    # SS seed 2 (1 + 1) = 4, SS problem 2 (2.25 + 2.25) = 9, SS total 4 + 0 + 1 + 9 = 14, SS rest 1,
    # each with one degree of freedom; variance (4 + 9 - 1) / 4 = 3.
    found = spread([np.array([[1.0], [3.0]]), np.array([[2.0], [6.0]])], crossed=True)
    assert found.variance[0] == pytest.approx(3.0)
    # The seeds weigh 4/12 and what problems have beyond the rest (9 - 1)/12.
    inverse = (4 / 12) ** 1.25 / 1 + (8 / 12) ** 1.25 / 1
    assert found.degrees_of_freedom[0] == pytest.approx(1.0 / inverse)


def test_problems_that_add_nothing_are_cut_off_by_hand() -> None:
    # Seeds (0, 2) and (5, 3): problem means are both 2.5, so MS problem is 0; MS seed 2 (1.5^2 + 1.5^2) = 9.
    found = spread([np.array([[0.0], [2.0]]), np.array([[5.0], [3.0]])], crossed=True)
    assert found.variance[0] == pytest.approx(9.0 / 4.0)
    assert found.degrees_of_freedom[0] == pytest.approx(1.0)


def test_one_seed_and_separate_problems_by_hand() -> None:
    # One seed, values 0, 1, 2: variance 1 over 3 problems. Two seeds with means 1 and 4: variance 4.5 over 2.
    one = spread([np.array([[0.0], [1.0], [2.0]])], crossed=True)
    assert (one.variance[0], one.degrees_of_freedom[0]) == (pytest.approx(1.0 / 3.0), 2.0)
    nested = spread([np.array([[0.0], [2.0]]), np.array([[3.0], [5.0]])], crossed=False)
    assert (nested.variance[0], nested.degrees_of_freedom[0]) == (pytest.approx(4.5 / 2.0), 1.0)


def test_seeds_that_differ_widen_the_interval() -> None:
    problems = np.random.default_rng(2).random(60)
    equal = band([0.3 + 0.4 * problems] * 3)
    apart = band([0.1 + 0.4 * problems, 0.3 + 0.4 * problems, 0.5 + 0.4 * problems])
    assert apart.high - apart.low > 2 * (equal.high - equal.low)
    assert apart.estimate == pytest.approx(equal.estimate)


def test_crossed_seeds_do_not_count_as_more_problems() -> None:
    values = np.random.default_rng(3).random(50)
    one, crossed = band([values]), band([values] * 4)
    assert crossed.high - crossed.low == pytest.approx(one.high - one.low, rel=0.01)


def test_a_ratio_by_hand() -> None:
    # Accuracy within a format: 3 of 4 and 0 of 1 give 3/5, not the mean of 3/4 and 0. Residuals
    # (3 - 2.4) / 2.5 and (0 - 0.6) / 2.5; variance of their mean 0.24^2; n = 0.24 / 0.0576 samples.
    measured = Ratio([np.array([[3.0], [0.0]])], [np.array([[4.0], [1.0]])])
    assert [r[0] for r in measured.residuals()[0]] == pytest.approx([0.24, -0.24])
    b = ratio_bands(measured, crossed=True).at(0)
    assert b.estimate == pytest.approx(0.6)
    n, t = 0.24 / 0.24**2, 12.706
    half = t / (1 + t**2 / n) * math.sqrt(0.24 / n + t**2 / (4 * n**2))
    assert b.high - b.low == pytest.approx(2 * half, rel=1e-3)


def test_four_samples_leave_room() -> None:
    none = band([np.zeros(4)])
    assert (none.estimate, none.low) == (0.0, 0.0)
    assert none.high == pytest.approx(0.4899, abs=1e-4)  # z^2 / (4 + z^2)
    assert band([np.ones(4)]).low == pytest.approx(1 - 0.4899, abs=1e-4)
    assert band([np.zeros(1)]).high > 0.7


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    for spread_of_runs in (0.0, 0.05):
        truth = rng.beta(2, 2, size=(80, 2000))
        runs = [
            rng.binomial(8, np.clip(truth + rng.normal(0, spread_of_runs, (1, 2000)), 0, 1)) / 8.0
            for _ in range(3)
        ]
        b = ratio_bands(Ratio.mean(runs), crossed=True)
        assert 0.92 <= np.mean((b.low <= 0.5) & (b.high >= 0.5)) <= 0.97
