"""Paired tests: by hand, how often they err and find, and the correction for several of them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echochamber.analysis import PairedTest, Ratio, ratio_bands
from echochamber.analysis.paired_tests import compare, holm, paired_test, ratio_test


def band(values: list[np.ndarray], *, crossed: bool = True):
    return ratio_bands(Ratio.mean([v[:, None] for v in values]), crossed=crossed).at(0)


def test_one_run_has_the_textbook_interval() -> None:
    rng = np.random.default_rng(0)
    before, after = rng.random(400), rng.random(400)
    test = paired_test([before], [after], crossed=True)
    error = (after - before).std(ddof=1) / 20
    assert test.difference.estimate == pytest.approx((after - before).mean())
    assert test.difference.low == pytest.approx((after - before).mean() - 1.966 * error, rel=1e-3)
    assert (test.about, test.degrees_of_freedom) == ("runs", 399.0)


@given(
    st.integers(2, 5).flatmap(
        lambda num_seeds: st.lists(
            st.lists(st.integers(0, 8), min_size=num_seeds, max_size=num_seeds), min_size=3, max_size=8
        )
    ),
    st.randoms(use_true_random=False),
)
@settings(max_examples=50, deadline=None)
def test_the_order_of_seeds_and_problems_changes_nothing(table: list[list[int]], random) -> None:
    values = np.array(table).T / 8.0
    seeds, problems = list(range(values.shape[0])), list(range(values.shape[1]))
    random.shuffle(seeds)
    random.shuffle(problems)
    zeros = np.zeros_like(values)
    for crossed in (True, False):
        one = paired_test(list(zeros), list(values), crossed=crossed)
        other = paired_test(list(zeros), list(values[seeds][:, problems]), crossed=crossed)
        assert one.p_value == pytest.approx(other.p_value, abs=1e-9)
        assert one.difference.low == pytest.approx(other.difference.low, abs=1e-9)
        assert band(list(values), crossed=crossed).high == pytest.approx(
            band(list(values[seeds][:, problems]), crossed=crossed).high, abs=1e-9
        )


@given(st.lists(st.lists(st.integers(0, 4), min_size=4, max_size=4), min_size=1, max_size=4))
@settings(max_examples=100, deadline=None)
def test_intervals_hold_their_estimate_and_have_a_width(table: list[list[int]]) -> None:
    values = [np.array(row) / 4.0 for row in table]
    b = band(values)
    assert 0.0 <= b.low <= b.estimate <= b.high <= 1.0
    assert b.high - b.low > 1e-6
    test = paired_test([np.zeros(4)] * len(values), values, crossed=True)
    assert test.difference.low <= test.difference.estimate <= test.difference.high
    assert test.difference.high - test.difference.low > 1e-6
    assert 0.0 <= test.p_value <= 1.0
    assert test.minimum_detectable > 0.0


def test_ratios_are_compared_as_ratios() -> None:
    rng = np.random.default_rng(8)
    written = [rng.integers(1, 9, (100, 1)).astype(float) for _ in range(3)]
    right = [rng.binomial(w.astype(int), 0.5).astype(float) for w in written]
    better = [rng.binomial(w.astype(int), 0.8).astype(float) for w in written]
    test = ratio_test(Ratio(right, written), Ratio(better, written), crossed=True)
    expected = (np.sum(better) - np.sum(right)) / np.sum(written)
    assert test.difference.estimate == pytest.approx(expected)
    assert not test.inside_noise


def test_nothing_measured_is_nan_and_not_zero() -> None:
    zeros = np.zeros((5, 1))
    b = ratio_bands(Ratio([zeros], [zeros]), crossed=True).at(0)
    assert math.isnan(b.estimate) and math.isnan(b.low) and math.isnan(b.high)
    test = ratio_test(Ratio([zeros], [zeros]), Ratio([zeros], [zeros]), crossed=True)
    assert test.inside_noise and test.p_value == 1.0


@pytest.mark.parametrize("num_seeds", [1, 3])
def test_none_right_against_none_right_is_no_difference(num_seeds: int) -> None:
    zeros = [np.zeros(160)] * num_seeds
    test = paired_test(zeros, zeros, crossed=True)
    assert (test.difference.estimate, test.p_value, test.inside_noise) == (0.0, 1.0, True)
    # Wilson's 0 of 160 reaches up to z^2 / (160 + z^2) = 2.3 %.
    assert test.difference.high == pytest.approx(0.0234, abs=1e-4)
    assert test.difference.low == pytest.approx(-0.0234, abs=1e-4)
    assert test.minimum_detectable > 0.02


def test_differences_of_differences_that_are_nothing_have_a_width() -> None:
    test = paired_test([np.zeros(50)] * 3, [np.full(50, -0.5)] * 3, crossed=True)
    assert test.difference.low < -0.5 < test.difference.high < 0.0
    assert not test.inside_noise


def test_all_or_nothing_is_different() -> None:
    test = paired_test([np.zeros(40)] * 3, [np.ones(40)] * 3, crossed=True)
    assert not test.inside_noise
    assert 0.8 < test.difference.low < 1.0


def test_paired_test_is_sharper_than_the_two_numbers() -> None:
    rng = np.random.default_rng(4)
    before = 0.8 * rng.random(100)
    after = before + rng.normal(0.03, 0.05, size=100)
    test = paired_test([before], [after], crossed=True)
    assert not test.inside_noise
    assert test.difference.estimate == pytest.approx((after - before).mean())
    assert test.minimum_detectable < 0.02
    unpaired = band([before])
    assert unpaired.high - unpaired.low > 0.08  # no such difference could be seen between the two


def test_different_problems_are_refused() -> None:
    with pytest.raises(ValueError, match="same problems"):
        paired_test([np.zeros(3)], [np.zeros(4)], crossed=True)


def twins(rng: np.random.Generator, num_studies: int, num_seeds: int, run_effect: float):
    """Two arms that are equal on average over training runs and problems: 60 problems, 8 samples."""
    skill = rng.normal(1.5, 1.5, (60, num_studies))
    arms = []
    for _ in range(2):
        own = skill + rng.normal(0.0, 0.3, skill.shape)
        arms.append(
            [
                rng.binomial(8, 1 / (1 + np.exp(-own - rng.normal(0.0, run_effect, (1, num_studies))))) / 8
                for _ in range(num_seeds)
            ]
        )
    return arms


@pytest.mark.parametrize("run_effect", [0.0, 0.2, 0.5])
@pytest.mark.parametrize("num_seeds", [3, 5])
def test_equal_arms_are_called_different_as_often_as_it_says(num_seeds: int, run_effect: float) -> None:
    before, after = twins(np.random.default_rng(5), 2000, num_seeds, run_effect)
    found = compare(Ratio.mean(before), Ratio.mean(after), crossed=True)
    # 5 % of 2000, with what the table in docs/statistics.md shows and three standard errors of this check.
    assert 0.025 <= np.mean(found.p_value < 0.05) <= 0.085
    excluded = (found.difference.low > 0) | (found.difference.high < 0)
    assert np.array_equal(excluded, found.p_value < 0.05)


@pytest.mark.parametrize("num_seeds", [1, 3])
def test_power_is_as_stated(num_seeds: int) -> None:
    rng = np.random.default_rng(6)

    def study() -> tuple[list[np.ndarray], list[np.ndarray]]:
        effect = 0.05 * rng.normal(size=(num_seeds, 1, 4000)) if num_seeds > 1 else np.zeros((1, 1, 4000))
        after = effect + 0.2 * rng.normal(size=(num_seeds, 60, 4000))
        return [np.zeros((60, 4000))] * num_seeds, list(after)

    stated = compare(*(Ratio.mean(side) for side in study()), crossed=True).minimum_detectable
    before, after = study()
    again = compare(Ratio.mean(before), Ratio.mean([a + stated for a in after]), crossed=True)
    assert np.mean(again.p_value < 0.05) == pytest.approx(0.8, abs=0.05)


def test_what_a_test_is_about_depends_on_the_number_of_seeds() -> None:
    rng = np.random.default_rng(7)
    values = [rng.random(20) for _ in range(3)]

    def test_of(n: int) -> PairedTest:
        return paired_test(values[:n], [v + 0.1 for v in values[:n]], crossed=True)

    assert test_of(1).about == "runs"
    assert test_of(2).about == test_of(3).about == "trainings"


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8))
def test_holm_never_lowers_a_p_value(p_values: list[float]) -> None:
    assert all(1.0 >= a >= p for a, p in zip(holm(p_values), p_values, strict=True))
