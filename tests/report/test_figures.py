"""Figures as data."""

from itertools import pairwise

import pytest

from echochamber.report.figures import Figure, Panel, Series, step_position, step_ticks


def test_a_legend_names_each_series_once() -> None:
    a, b, again = (Series(name, (0.0,), (0.0,), "#123456") for name in ("a", "b", "a"))
    assert Figure("f", "t", "c", (Panel("1", (a,)), Panel("2", (b, again)))).legend == [a, b]


def test_step_0_has_a_place_on_the_axis() -> None:
    assert [step_position(step) for step in (0, 9, 99)] == pytest.approx([0.0, 1.0, 2.0])


def test_ticks_keep_the_ends_and_room_between() -> None:
    steps = (0, 1, 2, 3, 4, 5, 6, 8, 10, 900, 1000)
    ticks = step_ticks(steps)
    assert ticks[0] == (0.0, "0") and ticks[-1] == (step_position(1000), "1,000")
    room = 0.13 * step_position(1000)
    assert all(b - a >= room for (a, _), (b, _) in pairwise(ticks))
    assert "900" not in {label for _, label in ticks}
    assert step_ticks(()) == () and step_ticks((5,)) == ((step_position(5), "5"),)
