"""From numbers to series: gaps, bands, means over seeds, thinning."""

import math

import numpy as np
import pytest
from recorded_run import share_of

from echochamber.analysis import Bands, Interval
from echochamber.report.figures import step_position
from echochamber.report.material import Material
from echochamber.report.series import (
    FEWEST,
    banded,
    bar,
    enough_written,
    over_seeds,
    share_panel,
    step_panel,
    thinned,
    values,
)


def test_what_is_not_finite_is_a_gap() -> None:
    assert values([0.5, math.nan, math.inf, 1]) == (0.5, None, None, 1.0)


def test_a_band_follows_one_column() -> None:
    estimate = np.array([[0.1, 0.2], [0.3, math.nan]])
    series = banded("b", (0, 9), Bands(estimate, estimate - 0.05, estimate + 0.05), 1, color="#123456")
    assert series.x == (0.0, 1.0)  # log10(1 + step)
    assert series.y == (0.2, None)
    assert series.low == (pytest.approx(0.15), None) and series.high == (0.25, None)


def test_a_line_over_seeds_is_the_mean_from_lowest_to_highest() -> None:
    line = over_seeds("l", iter((1.0, 2.0)), [[1.0, 3.0, 2.0], [4.0]], "#123456", width=1.5)
    assert (line.x, line.y, line.low, line.high) == ((1.0, 2.0), (2.0, 4.0), (1.0, 4.0), (3.0, 4.0))
    assert line.width == 1.5
    assert over_seeds("l", (1.0,), [[1.0]], "#123456").low is None


def test_a_bar_without_an_interval_has_none() -> None:
    found = bar(
        "base", ("a", "b"), [Interval(0.5, 0.4, 0.6), Interval(math.nan, math.nan, math.nan)], "#123456"
    )
    assert (found.kind, found.x, found.y) == ("bar", ("a", "b"), (0.5, None))
    assert (found.low, found.high) == ((0.4, None), (0.6, None))


def test_panels_of_shares_run_from_0_to_100_percent() -> None:
    panel = step_panel("p", [], "share", (0, 3, 40))
    assert panel.percent and panel.y_range == (0.0, 1.0)
    assert panel.ticks[-1] == (step_position(40), "40") and panel.x_label.startswith("RL steps")
    assert share_panel("p", [], "samples", "pass@1").ticks == ()


@pytest.mark.parametrize(
    ("num", "most", "length"), [(5, 10, 5), (400, 400, 400), (1000, 400, 334), (7, 2, 3)]
)
def test_thinning_keeps_both_ends(num: int, most: int, length: int) -> None:
    found = thinned(list(range(num)), most)
    assert found[0] == 0 and found[-1] == num - 1
    assert len(found) == length <= most + 1


def test_accuracy_is_left_out_where_few_wrote_the_format(material: Material) -> None:
    t = material.primary[0].arms[0]
    found, written = enough_written(t), sum(count.completions.sum(axis=0) for count in t.counts)
    assert (np.isnan(found.estimate) == (np.asarray(written) < FEWEST)).all()
    f = t.formats.index("llm_code")
    assert found.estimate[-1, f] == pytest.approx(share_of(material, "grpo", 40, correct_in="llm_code"))
