"""Alarms say what is wrong, after it has lasted."""

from typing import Any

import pytest

from echochamber.rl.alarms import CONFIRM, alarms_of, confirmed


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({"no_signal_fraction": 0.96}, "no_signal"),
        ({"entropy": 0.01}, "entropy_collapse"),
        ({"kl": 1.5}, "kl_runaway"),
        ({"explained_variance": -2.0}, "value_divergence"),
        ({"kept": 0}, "kept_nothing"),
    ],
)
def test_alarms_say_what_is_wrong_and_what_helps(row: dict[str, Any], name: str) -> None:
    assert list(alarms_of(row)) == [name]
    assert alarms_of(dict.fromkeys(row, 0.5)) == {}


def test_an_alarm_needs_several_steps_in_a_row_and_is_raised_once() -> None:
    streaks: dict[str, int] = {}
    bad, good = {"no_signal": "sentence"}, {}
    raised = [confirmed(streaks, found) for found in (bad, bad, good, *[bad] * CONFIRM, bad)]
    assert raised == [[], [], [], *[[]] * (CONFIRM - 1), ["sentence"], []]
