import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echochamber.analysis import Bootstrap, minimum_detectable_difference, paired_test
from echochamber.analysis.statistics import holm


def test_interval_of_a_mean_is_the_textbook_one() -> None:
    values = np.random.default_rng(0).normal(2.0, 1.0, size=(400, 1))
    band = Bootstrap([400], crossed=True).ratio([values], [np.ones_like(values)]).at(0)
    error = values.std(ddof=1) / 20
    assert band.estimate == pytest.approx(values.mean())
    assert band.low == pytest.approx(values.mean() - 1.96 * error, abs=0.25 * error)
    assert band.high == pytest.approx(values.mean() + 1.96 * error, abs=0.25 * error)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for i in range(200):
        truth = rng.beta(2, 2, size=80)  # problems differ
        values = rng.binomial(8, truth)[:, None] / 8.0
        band = Bootstrap([80], crossed=True, num_resamples=400, seed=i).ratio(
            [values], [np.ones_like(values)]
        )
        covered += band.low[0] <= 0.5 <= band.high[0]
    assert 180 <= covered <= 199  # 95 % of 200, give or take 3 standard errors


def test_seeds_that_differ_widen_the_interval() -> None:
    rng = np.random.default_rng(2)
    problems = rng.random((60, 1))
    equal = [problems, problems, problems]
    apart = [problems - 0.3, problems, problems + 0.3]
    ones = [np.ones((60, 1))] * 3
    bootstrap = Bootstrap([60] * 3, crossed=True)
    narrow, wide = bootstrap.ratio(equal, ones).at(0), bootstrap.ratio(apart, ones).at(0)
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
    assert wide.estimate == pytest.approx(narrow.estimate)


def test_crossed_seeds_do_not_count_as_more_problems() -> None:
    values = np.random.default_rng(3).random((50, 1))
    ones = np.ones((50, 1))
    one = Bootstrap([50], crossed=True).ratio([values], [ones]).at(0)
    crossed = Bootstrap([50] * 4, crossed=True).ratio([values] * 4, [ones] * 4).at(0)
    nested = Bootstrap([50] * 4, crossed=False).ratio([values] * 4, [ones] * 4).at(0)
    width = one.high - one.low
    assert crossed.high - crossed.low == pytest.approx(width, rel=0.1)
    assert nested.high - nested.low < 0.8 * width


def test_a_ratio_is_resampled_as_a_ratio() -> None:
    # Accuracy within a format: 3 of 4 and 0 of 1 give 3/5, not the mean of 3/4 and 0.
    numerator, denominator = np.array([[3.0], [0.0]]), np.array([[4.0], [1.0]])
    band = Bootstrap([2], crossed=True).ratio([numerator], [denominator]).at(0)
    assert band.estimate == pytest.approx(0.6)
    assert (band.low, band.high) == (0.0, 0.75)


def test_nothing_measured_is_nan_and_not_zero() -> None:
    zeros = np.zeros((5, 1))
    band = Bootstrap([5], crossed=True).ratio([zeros], [zeros]).at(0)
    assert math.isnan(band.estimate) and math.isnan(band.low) and math.isnan(band.high)


def test_paired_test_is_sharper_than_the_two_numbers() -> None:
    rng = np.random.default_rng(4)
    before = rng.random(100)
    after = before + rng.normal(0.03, 0.05, size=100)
    test = paired_test([before], [after], crossed=True)
    assert not test.inside_noise
    assert test.difference.estimate == pytest.approx((after - before).mean())
    assert test.minimum_detectable < 0.02
    unpaired = Bootstrap([100], crossed=True).ratio([before[:, None]], [np.ones((100, 1))]).at(0)
    assert unpaired.high - unpaired.low > 0.08  # no such difference could be seen between the two


def test_no_difference_is_inside_the_noise_as_often_as_it_should_be() -> None:
    rng = np.random.default_rng(5)
    false = 0
    for _ in range(200):
        before, after = rng.binomial(8, 0.5, size=(2, 40)) / 8.0
        false += not paired_test([before], [after], crossed=True, num_resamples=300).inside_noise
    assert false <= 20


def test_sign_flip_by_hand() -> None:
    # Five equal differences: 2 of the 32 arrangements of signs reach the observed sum.
    test = paired_test([np.zeros(5)], [np.ones(5)], crossed=True)
    assert test.p_value == pytest.approx(2 / 32, abs=0.01)
    assert paired_test([np.ones(5)], [np.ones(5)], crossed=True).p_value == 1.0


def test_minimum_detectable_difference_by_hand() -> None:
    # (1.960 + 0.842) * 0.5 / sqrt(100)
    assert minimum_detectable_difference(100, 0.5) == pytest.approx(0.1401, abs=1e-4)


def test_power_is_what_it_says() -> None:
    rng = np.random.default_rng(6)
    effect = minimum_detectable_difference(60, 1.0)
    found = 0
    for _ in range(150):
        after = rng.normal(effect, 1.0, size=60)
        found += paired_test([np.zeros(60)], [after], crossed=True, num_resamples=200).p_value < 0.05
    assert 0.68 <= found / 150 <= 0.92


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8))
def test_holm_never_lowers_a_p_value(p_values: list[float]) -> None:
    assert all(1.0 >= a >= p for a, p in zip(holm(p_values), p_values, strict=True))
