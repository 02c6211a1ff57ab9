"""From measured numbers to the series and panels of a figure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from echochamber.analysis import Bands, Interval, Trajectory
from echochamber.report.figures import Panel, Series, Value, step_position, step_ticks

STEPS_LABEL = "RL steps (log scale)"
FEWEST = 10
"""Accuracies over fewer completions than this are not drawn: one lucky sample would look like a finding."""


def values(array: Iterable[float]) -> tuple[Value, ...]:
    """Floats with None in place of what is not finite."""
    return tuple(float(v) if math.isfinite(v) else None for v in array)


def banded(name: str, steps: Sequence[int], bands: Bands, column: int | None, **style: Any) -> Series:
    """A line over RL steps with its band; `column` selects the format where there are several."""
    estimate, low, high = (
        values(array if column is None else array[:, column])
        for array in (bands.estimate, bands.low, bands.high)
    )
    return Series(name, tuple(map(step_position, steps)), estimate, low=low, high=high, **style)


def over_seeds(
    name: str, x: Iterable[float], measured: Sequence[Sequence[float]], color: str, **style: Any
) -> Series:
    """A line of means over seeds; with several seeds, its band runs from the lowest to the highest.

    Args:
        measured: the values of all seeds, one sequence per position in `x`.
    """
    several = any(len(one) > 1 for one in measured)
    return Series(
        name,
        tuple(x),
        values(sum(one) / len(one) for one in measured),
        color,
        low=values(map(min, measured)) if several else None,
        high=values(map(max, measured)) if several else None,
        **style,
    )


def bar(label: str, names: Sequence[str], found: Sequence[Interval], color: str) -> Series:
    """Bars of one series over named categories, with their intervals."""
    return Series(
        label,
        tuple(names),
        values(i.estimate for i in found),
        color,
        low=values(i.low for i in found),
        high=values(i.high for i in found),
        kind="bar",
    )


def share_panel(title: str, series: Iterable[Series], x_label: str = "", y_label: str = "") -> Panel:
    """Axes whose y-axis runs from 0 to 100 %."""
    return Panel(title, tuple(series), x_label, y_label, (), True, (0.0, 1.0))


def step_panel(title: str, series: Iterable[Series], y_label: str, steps: Sequence[int]) -> Panel:
    """Axes over evaluated RL steps whose y-axis runs from 0 to 100 %."""
    return Panel(title, tuple(series), STEPS_LABEL, y_label, step_ticks(steps), True, (0.0, 1.0))


def enough_written(t: Trajectory) -> Bands:
    """Accuracy by format, shape (T, F); NaN where fewer than FEWEST completions are in the format."""
    few = np.asarray(sum(count.completions.sum(axis=0) for count in t.counts)) < FEWEST
    found = t.accuracy_by_format
    return Bands(*(np.where(few, np.nan, array) for array in (found.estimate, found.low, found.high)))


def thinned(positions: Sequence[int], most: int = 400) -> list[int]:
    """At most `most` positions, evenly spread and including the last, so that long runs have small pages."""
    stride = max(1, math.ceil(len(positions) / most))
    return [*positions[:-1:stride], positions[-1]]
