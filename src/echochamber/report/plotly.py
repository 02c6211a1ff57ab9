"""Figures as plotly traces and layouts, plain data for the page's script.

Colors that depend on the theme are written as `@ink` and `@grid`; the script
replaces them with the colors of the page.
"""

from __future__ import annotations

import math
from typing import Any

from echochamber.analysis import Interval
from echochamber.report.figures import Panel, Series
from echochamber.report.texts import interval_text

GRID = "@grid"
INK_BAND = "@inkband"


def panel_json(panel: Panel) -> dict[str, Any]:
    """`{"data": traces, "layout": layout}` of one panel."""
    traces: list[dict[str, Any]] = []
    for series in panel.series:
        if series.kind == "bar":
            traces.append(_bar(series, panel))
        else:
            traces += _line(series, panel)
    return {"data": traces, "layout": _layout(panel)}


def _values(series: Series, panel: Panel) -> dict[str, Any]:
    """What hovering shows: the text of the tables, with the interval, so that 99.7 % is never 100 %."""
    if not panel.percent:
        return {"hovertemplate": f"{series.name} %{{y:.3~g}}<extra></extra>"}
    nothing = (None,) * len(series.y)
    ends = zip(series.y, series.low or nothing, series.high or nothing, strict=True)
    texts = [interval_text(Interval(*(math.nan if end is None else end for end in one))) for one in ends]
    return {"customdata": texts, "hovertemplate": f"{series.name} %{{customdata}}<extra></extra>"}


def _transparent(color: str, opacity: float) -> str:
    if color.startswith("@"):
        return INK_BAND
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def _line(series: Series, panel: Panel) -> list[dict[str, Any]]:
    x, y = list(series.x), list(series.y)
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines",
        "name": series.name,
        "x": x,
        "y": y,
        "line": {"color": series.color, "width": series.width, "dash": series.dash},
        **_values(series, panel),
    }
    if series.kind == "area":
        trace |= {
            "stackgroup": "all",
            "fillcolor": _transparent(series.color, 0.85),
            "line": {"color": series.color, "width": 0.5},
        }
        return [trace]
    if len(x) <= 24:
        trace |= {"mode": "lines+markers", "marker": {"color": series.color, "size": 5}}
    if series.low is None or series.high is None:
        return [trace]
    known = [
        (a, low, high)
        for a, low, high in zip(x, series.low, series.high, strict=True)
        if low is not None and high is not None
    ]
    band = {
        "type": "scatter",
        "mode": "lines",
        "x": [a for a, _, _ in known] + [a for a, _, _ in reversed(known)],
        "y": [high for _, _, high in known] + [low for _, low, _ in reversed(known)],
        "fill": "toself",
        "fillcolor": _transparent(series.color, 0.18),
        "line": {"width": 0},
        "hoverinfo": "skip",
    }
    return [band, trace]


def _bar(series: Series, panel: Panel) -> dict[str, Any]:
    trace: dict[str, Any] = {
        "type": "bar",
        "name": series.name,
        "x": list(series.x),
        "y": list(series.y),
        "marker": {"color": series.color},
        **_values(series, panel),
    }
    if series.low is not None and series.high is not None:
        ends = list(zip(series.y, series.low, series.high, strict=True))
        trace["error_y"] = {
            "type": "data",
            "symmetric": False,
            "array": [None if y is None or high is None else high - y for y, _, high in ends],
            "arrayminus": [None if y is None or low is None else y - low for y, low, _ in ends],
            "color": "@ink",
            "thickness": 1.2,
            "width": 3,
        }
    return trace


def _layout(panel: Panel) -> dict[str, Any]:
    axis = {"gridcolor": GRID, "zeroline": False, "linecolor": GRID, "automargin": True}
    x_axis: dict[str, Any] = {**axis, "showgrid": False, "title": {"text": panel.x_label, "standoff": 8}}
    y_axis: dict[str, Any] = {**axis, "title": {"text": panel.y_label, "standoff": 6}}
    if panel.ticks:
        x_axis |= {"tickvals": [p for p, _ in panel.ticks], "ticktext": [label for _, label in panel.ticks]}
    if panel.percent:
        y_axis |= {"tickformat": ".0%"}
    if panel.log_y:
        y_axis |= {"type": "log", "dtick": "D2"}
    elif panel.y_range:
        y_axis |= {"range": list(panel.y_range)}
    else:
        y_axis |= {"rangemode": "tozero" if panel.percent else "normal"}
    return {
        "xaxis": x_axis,
        "yaxis": y_axis,
        "showlegend": False,
        "hovermode": "x unified",
        "barmode": "group",
        "bargap": 0.25,
        "margin": {"l": 48, "r": 12, "t": 8, "b": 40},
        "height": 270,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": "@ink"},
        "hoverlabel": {"bgcolor": "@paper", "bordercolor": GRID, "font": {"color": "@ink"}},
    }
