"""The distributions behind intervals and tests, against mpmath and by hand."""

import math

import mpmath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echochamber.analysis.distributions import (
    count_interval,
    detectable,
    incomplete_beta,
    t_p_value,
    t_quantile,
)


def test_t_distribution_against_mpmath() -> None:
    for df in (0.7, 1.0, 2.0, 3.7, 12.0, 199.0):
        t = float(t_quantile(df))
        tail = mpmath.betainc(df / 2, 0.5, 0, df / (df + t * t), regularized=True)
        assert float(tail) == pytest.approx(0.05, rel=1e-4)
        assert float(t_p_value(t, df)) == pytest.approx(0.05, rel=1e-4)
    assert float(t_quantile(math.inf)) == pytest.approx(1.959964, abs=1e-5)


@given(st.floats(0.1, 200.0), st.floats(0.1, 200.0), st.floats(0.0, 1.0))
@settings(max_examples=50, deadline=None)
def test_incomplete_beta_against_mpmath(a: float, b: float, x: float) -> None:
    expected = float(mpmath.betainc(a, b, 0, x, regularized=True))
    assert float(incomplete_beta(a, b, x)) == pytest.approx(expected, abs=1e-9)


def test_count_interval_by_hand() -> None:
    # 3 of 3: the lower end q has q^3 = 2.5 %.
    assert count_interval(3, 3) == pytest.approx((0.025 ** (1 / 3), 1.0))
    assert count_interval(0, 5) == pytest.approx((0.0, 1 - 0.025 ** (1 / 5)))
    with pytest.raises(ValueError, match="4 of 3"):
        count_interval(4, 3)


def test_detectable_grows_as_seeds_become_few() -> None:
    assert float(detectable(math.inf)) == pytest.approx(1.960 + 0.842, abs=2e-3)
    assert float(detectable(2.0)) > float(detectable(4.0)) > float(detectable(9.0)) > 3.0
