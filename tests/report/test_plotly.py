"""Traces and layouts that the page's script draws."""

import json

import pytest

from echochamber.report.figures import Panel, Series
from echochamber.report.palette import INK
from echochamber.report.plotly import panel_json


def test_the_pointer_shows_the_words_of_the_tables() -> None:
    series = Series("boxed", (0.0, 1.0), (0.996, 1.0), "#009E73", low=(0.9996, None), high=(1.0, None))
    trace = panel_json(Panel("grpo", (series,), percent=True))["data"][-1]
    assert trace["customdata"][0].startswith("99.6") and trace["customdata"][1] == "100\u00a0%"
    assert "100.0%" not in json.dumps(trace)


def test_a_line_with_a_band_that_skips_gaps() -> None:
    series = Series(
        "a", (0.0, 1.0, 2.0), (0.1, None, 0.3), "#102030", low=(0.0, None, 0.2), high=(0.2, None, 0.4)
    )
    band, line = panel_json(Panel("p", (series,)))["data"]
    assert band["x"] == [0.0, 2.0, 2.0, 0.0] and band["y"] == [0.2, 0.4, 0.2, 0.0]
    assert band["fillcolor"] == "rgba(16,32,48,0.18)"
    assert line["y"] == [0.1, None, 0.3] and line["line"]["color"] == "#102030"


def test_ink_takes_the_color_of_the_theme() -> None:
    band, line = panel_json(Panel("p", (Series("a", (0.0,), (0.1,), INK, low=(0.0,), high=(0.2,)),)))["data"]
    assert band["fillcolor"] == "@inkband" and line["line"]["color"] == "@ink"


def test_bars_carry_their_intervals_as_lengths() -> None:
    series = Series("a", ("x", "y"), (0.5, None), "#102030", low=(0.4, None), high=(0.7, None), kind="bar")
    [trace] = panel_json(Panel("p", (series,), percent=True))["data"]
    assert (trace["x"], trace["y"]) == (["x", "y"], [0.5, None])
    assert trace["error_y"]["array"] == [pytest.approx(0.2), None]
    assert trace["error_y"]["arrayminus"] == [pytest.approx(0.1), None]


def test_axes() -> None:
    layout = panel_json(Panel("p", (), "x", "y", ((0.0, "0"), (1.0, "9")), True, (0.0, 1.0)))["layout"]
    assert layout["xaxis"]["tickvals"] == [0.0, 1.0] and layout["xaxis"]["ticktext"] == ["0", "9"]
    assert layout["yaxis"]["range"] == [0.0, 1.0] and layout["yaxis"]["tickformat"] == ".0%"
    assert panel_json(Panel("p", (), log_y=True))["layout"]["yaxis"]["type"] == "log"
