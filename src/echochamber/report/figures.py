"""Figures as data, separate from the code that draws them.

The page (plotly) and the image files (matplotlib) are made from the same
description, so that they cannot disagree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from echochamber.report.palette import Dash

Value = float | None


@dataclass(frozen=True, slots=True)
class Series:
    """One line, stacked area or set of bars.

    Attributes:
        name: shown in the legend.
        x: positions, or category names for bars.
        y: values; None leaves a gap.
        color: `#rrggbb`, or palette.INK.
        low, high: ends of the 95 % intervals, drawn as a band or as error bars.
        kind: how it is drawn; areas are stacked in order.
        dash: dash pattern of a line.
        width: width of a line, in pixels.
    """

    name: str
    x: tuple[float | str, ...]
    y: tuple[Value, ...]
    color: str
    low: tuple[Value, ...] | None = None
    high: tuple[Value, ...] | None = None
    kind: Literal["line", "area", "bar"] = "line"
    dash: Dash = "solid"
    width: float = 2.0


@dataclass(frozen=True, slots=True)
class Panel:
    """One set of axes.

    Attributes:
        ticks: positions and labels of the x axis; automatic if empty.
        percent: whether y is a share between 0 and 1, shown in percent.
        y_range: fixed limits of y; automatic if None.
        log_y: whether y is logarithmic.
    """

    title: str
    series: tuple[Series, ...]
    x_label: str = ""
    y_label: str = ""
    ticks: tuple[tuple[float, str], ...] = ()
    percent: bool = False
    y_range: tuple[float, float] | None = None
    log_y: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """Panels that belong together, with one legend.

    Attributes:
        name: file name without its ending.
        title: one line above the panels.
        caption: what is shown and how to read it.
    """

    name: str
    title: str
    caption: str
    panels: tuple[Panel, ...]

    @property
    def legend(self) -> list[Series]:
        """One series for each name, in order of first appearance."""
        found: dict[str, Series] = {}
        for panel in self.panels:
            for series in panel.series:
                found.setdefault(series.name, series)
        return list(found.values())


def step_position(step: float) -> float:
    """Position of a step on an axis that spreads out early steps and has a place for step 0."""
    return math.log10(1.0 + step)


def step_ticks(steps: Sequence[int]) -> tuple[tuple[float, str], ...]:
    """Labels at evaluated steps, thinned so that none overlap; the first and last are always kept."""
    if not steps:
        return ()
    span = step_position(steps[-1]) - step_position(steps[0])
    kept = [steps[0]]
    for step in steps[1:-1]:
        room = 0.13 * span
        if (
            step_position(step) - step_position(kept[-1]) >= room
            and step_position(steps[-1]) - step_position(step) >= room
        ):
            kept.append(step)
    if steps[-1] != steps[0]:
        kept.append(steps[-1])
    return tuple((step_position(step), f"{step:,}") for step in kept)
