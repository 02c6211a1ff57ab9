"""Image files show what the page shows: both are drawn from one description."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import matplotlib.figure
import pytest

from echochamber.report.figures import Figure, Panel, Series
from echochamber.report.images import write_images
from echochamber.report.material import Material
from echochamber.report.plotly import panel_json
from echochamber.report.section import drawn

LINE = Series(
    "line", (0.0, 1.0, 2.0), (0.2, None, 0.4), "#102030", low=(0.1, None, 0.3), high=(0.3, None, 0.5)
)
AREAS = tuple(
    Series(name, (0.0, 1.0), y, color, kind="area")
    for name, y, color in (("a", (0.25, 0.5), "#112233"), ("b", (0.75, 0.5), "#445566"))
)
BARS = tuple(
    Series(name, ("x", "y"), y, color, low=(0.1, None), high=(0.6, None), kind="bar")
    for name, y, color in (("c", (0.5, None), "#778899"), ("d", (0.25, 0.75), "#AABBCC"))
)
TICKS = ((0.0, "0"), (1.0, "9"))


@pytest.fixture
def canvas(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The matplotlib figures that were saved."""
    saved: list[Any] = []
    save = matplotlib.figure.Figure.savefig

    def spy(self: Any, *args: Any, **kwargs: Any) -> None:
        saved.append(self)
        save(self, *args, **kwargs)

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", spy)
    return saved


def _plain(numbers: Any) -> list[float | None]:
    return [None if math.isnan(float(n)) else pytest.approx(float(n)) for n in numbers]


def test_a_panel_has_the_same_numbers_on_the_page_and_in_the_file(canvas: list[Any], tmp_path: Path) -> None:
    panels = (
        Panel("lines", (LINE,), "steps", "share", TICKS, True, (0.0, 1.0)),
        Panel("areas", AREAS),
        Panel("bars", BARS),
    )
    write_images(Figure("f", "Title", "c", panels), tmp_path)
    lines, areas, bars = canvas[0].axes
    page = [panel_json(panel)["data"] for panel in panels]

    assert lines.get_title(loc="left") == "lines" and lines.get_ylim() == (0.0, 1.0)
    assert [label.get_text() for label in lines.get_xticklabels()] == ["0", "9"]
    assert page[0][1]["y"] == _plain(lines.lines[0].get_ydata())
    assert page[0][1]["x"] == _plain(lines.lines[0].get_xdata())

    heights = [
        [min(path[:, 1]), max(path[:, 1])] for path in (c.get_paths()[0].vertices for c in areas.collections)
    ]
    assert heights == [[0.0, pytest.approx(0.5)], [pytest.approx(0.25), pytest.approx(1.0)]]
    assert [sum(y) for y in zip(*(trace["y"] for trace in page[1]), strict=True)] == [1.0, 1.0]

    for trace, series, container in zip(
        page[2], BARS, [c for c in bars.containers if hasattr(c, "patches")], strict=True
    ):
        assert trace["y"] == _plain(bar.get_height() for bar in container.patches) == list(series.y)
    names = [text.get_text() for text in canvas[0].legends[0].get_texts()]
    assert names == ["line", "a", "b", "c", "d"]


def test_names_of_a_user_are_text_and_not_mathematics(tmp_path: Path) -> None:
    series = (Series("$x^", (0.0,), (0.5,), "#102030"),)
    png, svg = write_images(Figure("f", "cost in $ and $", "c", (Panel("a $ b", series),)), tmp_path)
    assert png.read_bytes().startswith(b"\x89PNG") and svg.read_text(encoding="utf-8").startswith("<?xml")


@pytest.mark.parametrize(("num", "rows", "columns"), [(1, 1, 1), (2, 1, 2), (4, 2, 2), (5, 2, 3)])
def test_panels_are_laid_out_like_those_of_the_page(
    num: int, rows: int, columns: int, canvas: list[Any], tmp_path: Path
) -> None:
    write_images(Figure("f", "t", "c", tuple(Panel(str(i), (LINE,)) for i in range(num))), tmp_path)
    axes = canvas[0].axes
    assert len(axes) == rows * columns and sum(one.get_visible() for one in axes) == num


def test_every_figure_of_a_run_agrees_on_lines(canvas: list[Any], material: Material, tmp_path: Path) -> None:
    found = {b.name: b for _, blocks in drawn(material) for b in blocks if isinstance(b, Figure)}
    figure = next(figure for name, figure in found.items() if name.startswith("accuracy-"))
    write_images(figure, tmp_path)
    for axes, panel in zip(canvas[0].axes, figure.panels, strict=False):
        page = [trace for trace in panel_json(panel)["data"] if trace.get("name")]
        assert [trace["y"] for trace in page] == [_plain(line.get_ydata()) for line in axes.lines]


def test_bands_and_error_bars_end_where_the_intervals_do(canvas: list[Any], tmp_path: Path) -> None:
    write_images(Figure("f", "t", "c", (Panel("lines", (LINE,)), Panel("bars", BARS))), tmp_path)
    lines, bars = canvas[0].axes
    band = lines.collections[0].get_paths()[0].vertices
    assert {(0.0, 0.1), (0.0, 0.3)} <= {(round(x, 6), round(y, 6)) for x, y in band}
    ends = [
        sorted(round(float(y), 6) for y in segment[:, 1])
        for collection in bars.collections
        for segment in collection.get_segments()
        if len(segment) and not math.isnan(segment[0, 1])
    ]
    assert ends == [[0.1, 0.6], [0.1, 0.6]]
