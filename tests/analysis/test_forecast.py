import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echochamber.analysis import Run, forecast, forecasts, rules_of_thumb, select, trajectories
from echochamber.analysis.forecast import STOP_ACCURACY, _gradient, _softmax, race, tilted
from echochamber.base import InputError

COUNTS = st.lists(st.tuples(st.integers(1, 300), st.floats(0.0, 1.0)), min_size=2, max_size=5)


def test_tilt_by_hand() -> None:
    # Shares 1/2, 1/2; accuracies 1, 0; beta 1: e / (e + 1).
    shares = tilted(np.array([2.0, 2.0]), np.array([2.0, 0.0]), 1.0)
    assert shares[0] == pytest.approx(math.e / (math.e + 1))


@given(COUNTS, st.floats(0.01, 100.0))
@settings(deadline=None)
def test_tilt_is_the_expectation_of_the_exponential(counts: list[tuple[int, float]], beta: float) -> None:
    written = np.array([float(n) for n, _ in counts])
    rewarded = np.array([float(round(n * a)) for n, a in counts])
    expected = (written - rewarded) * math.exp(-1.0 / beta) + rewarded
    if expected.sum() > 0:
        assert tilted(written, rewarded, beta) == pytest.approx(expected / expected.sum())


def test_limits_of_beta() -> None:
    written, rewarded = np.array([30.0, 60.0, 10.0]), np.array([15.0, 20.0, 0.0])
    assert tilted(written, rewarded, 1e6) == pytest.approx(written / 100, abs=1e-5)
    assert tilted(written, rewarded, 0.0) == pytest.approx([15 / 35, 20 / 35, 0.0])
    assert tilted(written, rewarded, 1e-3) == pytest.approx([15 / 35, 20 / 35, 0.0])
    assert tilted(written, np.zeros(3), 0.0) == pytest.approx(written / 100)


def test_race_follows_the_gradient_of_the_mean_reward() -> None:
    rng = np.random.default_rng(0)
    logit, skill = rng.normal(size=(1, 3)), rng.normal(size=(1, 3))

    def reward(x: np.ndarray, m: np.ndarray) -> float:
        return float((_softmax(x) / (1 + np.exp(-m))).sum())

    by_format, by_skill = _gradient(_softmax(logit), 1 / (1 + np.exp(-skill)))
    for f in range(3):
        step = np.zeros((1, 3))
        step[0, f] = 1e-6
        slope = (reward(logit + step, skill) - reward(logit - step, skill)) / 2e-6
        assert by_format[0, f] == pytest.approx(slope, abs=1e-8)
        slope = (reward(logit, skill + step) - reward(logit, skill - step)) / 2e-6
        assert by_skill[0, f] == pytest.approx(slope, abs=1e-8)


def test_race_is_rich_get_richer() -> None:
    # The accuracies and shares measured in a small model: prose is wiped out, which no tilt says.
    written = np.array([[310.0, 330.0, 360.0]])
    rewarded = written * np.array([0.59, 0.51, 0.16])
    shares = race(written, rewarded)[0]
    assert shares[0] > 0.8 and shares[2] < 0.05
    assert tilted(written, rewarded, 0.0)[0, 2] > 0.1


def test_race_of_equals_is_a_draw_and_its_step_is_small_enough() -> None:
    written, rewarded = np.array([[100.0, 100.0]]), np.array([[40.0, 40.0]])
    assert race(written, rewarded)[0] == pytest.approx([0.5, 0.5])
    written, rewarded = np.array([[100.0, 120.0, 0.0]]), np.array([[40.0, 40.0, 0.0]])
    coarse, fine = race(written, rewarded), race(written, rewarded, step=0.004)
    assert coarse[0] == pytest.approx(fine[0], abs=2e-3)
    assert coarse[0, 2] == 0.0
    assert STOP_ACCURACY < 1


def test_forecasts_of_a_run(run: Run) -> None:
    compared = forecasts(run)
    assert {c.cell.arm for c in compared} == {"grpo", "ei", "random"}
    for c in compared:
        assert c.forecast.share.estimate.sum() == pytest.approx(1.0)
        assert sum(c.measured) == pytest.approx(1.0)
        assert 0.0 <= c.distance <= 1.0
        low, high = c.forecast.share.low, c.forecast.share.high
        assert (low <= c.forecast.share.estimate + 1e-9).all()
        assert (high >= c.forecast.share.estimate - 1e-9).all()
        assert c.forecast.winner not in ("none", "ambiguous")


def test_a_forecast_needs_only_the_base_model(run: Run) -> None:
    found = {t.name: t for t in select(trajectories(run))}
    from_base, from_arm = forecast(found["base"], (0.0, 0.5)), forecast(found["grpo"], (0.0, 0.5))
    for a, b in zip(from_base, from_arm, strict=True):
        assert a.share.estimate == pytest.approx(b.share.estimate)
    assert set(rules_of_thumb(found["base"])) == {"most frequent", "most accurate"}


def test_negative_beta_is_refused(run: Run) -> None:
    with pytest.raises(InputError, match="expected a KL coefficient"):
        forecast(trajectories(run)[0], (-1.0,))
