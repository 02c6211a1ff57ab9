"""Figures as PNG and SVG files; equal figures give equal bytes."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from echochamber.report.figures import Figure, Panel, Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK = "#22262c"
_DASHES: dict[str, Any] = {
    "solid": "solid",
    "dash": (0, (5, 2)),
    "dot": (0, (1, 1.5)),
    "dashdot": (0, (5, 1.5, 1, 1.5)),
    "longdash": (0, (8, 3)),
}
_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": "#b6bbc3",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "xtick.color": _INK,
    "ytick.color": _INK,
    "text.parse_math": False,  # a "$" in a name is a dollar
    "svg.hashsalt": "echochamber",
    "svg.fonttype": "path",
}
MAX_COLUMNS = 3
LEGEND_COLUMNS = 6


def write_images(figure: Figure, folder: Path) -> list[Path]:
    """Write `<name>.png` and `<name>.svg` into `folder` and return their paths.

    Raises:
        OSError: the folder cannot be written to.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    columns = 2 if len(figure.panels) == 4 else min(MAX_COLUMNS, len(figure.panels))
    rows = math.ceil(len(figure.panels) / columns)
    legend_rows = math.ceil(len(figure.legend) / LEGEND_COLUMNS)
    width, height = max(4.1 * columns, 6.0), 2.75 * rows + 0.75 + 0.25 * legend_rows
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        canvas = Canvas(figsize=(width, height))
        FigureCanvasAgg(canvas)
        # Margins in inches: matplotlib's own layout engines double the drawing time.
        canvas.subplots_adjust(
            left=0.75 / width,
            right=1 - 0.15 / width,
            bottom=(0.65 + 0.25 * legend_rows) / height,
            top=1 - 0.7 / height,
            wspace=0.28,
            hspace=0.48,
        )
        canvas.suptitle(
            figure.title, x=0.15 / width, y=1 - 0.12 / height, ha="left", va="top", fontweight="bold"
        )
        grid = canvas.subplots(rows, columns, squeeze=False)
        for axes, panel in zip(grid.flat, figure.panels, strict=False):
            _draw(axes, panel)
        for axes in grid.flat[len(figure.panels) :]:
            axes.set_visible(False)
        canvas.legend(
            handles=[_handle(series) for series in figure.legend],
            loc="lower center",
            ncols=min(LEGEND_COLUMNS, len(figure.legend)),
            frameon=False,
        )
        paths = []
        for ending, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
            stream = io.BytesIO()
            canvas.savefig(stream, format=ending, dpi=150, facecolor="white", metadata=metadata)
            path = folder / f"{figure.name}.{ending}"
            path.write_bytes(stream.getvalue())
            paths.append(path)
    return paths


def _color(series: Series) -> str:
    return _INK if series.color.startswith("@") else series.color


def _handle(series: Series) -> Any:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    if series.kind == "line":
        return Line2D([], [], color=_color(series), linestyle=_DASHES[series.dash], label=series.name)
    return Patch(color=_color(series), label=series.name)


def _numbers(values: tuple[float | None, ...]) -> list[float]:
    return [math.nan if value is None else value for value in values]


def _draw(axes: Axes, panel: Panel) -> None:
    from matplotlib.ticker import PercentFormatter, ScalarFormatter

    axes.set_title(panel.title)
    axes.grid(axis="y", color="#e4e7eb", linewidth=0.7)
    axes.set_axisbelow(True)
    areas = [series for series in panel.series if series.kind == "area"]
    if areas:
        positions = [float(x) for x in areas[0].x]
        axes.stackplot(
            positions, [_numbers(s.y) for s in areas], colors=[_color(s) for s in areas], linewidth=0
        )
        if positions[0] < positions[-1]:
            axes.set_xlim(positions[0], positions[-1])
    for series in panel.series:
        if series.kind == "line":
            _draw_line(axes, series)
    _draw_bars(axes, [series for series in panel.series if series.kind == "bar"])
    if panel.ticks:
        axes.set_xticks([p for p, _ in panel.ticks], [label for _, label in panel.ticks])
    if panel.percent:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    if panel.log_y:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.yaxis.set_minor_formatter(ScalarFormatter())
    if panel.y_range:
        axes.set_ylim(*panel.y_range)
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)


def _draw_line(axes: Axes, series: Series) -> None:
    positions = [float(x) for x in series.x]
    axes.plot(
        positions,
        _numbers(series.y),
        color=_color(series),
        linestyle=_DASHES[series.dash],
        linewidth=0.75 * series.width,
        marker="o" if len(positions) <= 24 else None,
        markersize=2.5,
    )
    if series.low is not None and series.high is not None:
        axes.fill_between(
            positions,
            _numbers(series.low),
            _numbers(series.high),
            color=_color(series),
            alpha=0.18,
            linewidth=0,
        )


def _draw_bars(axes: Axes, bars: list[Series]) -> None:
    if not bars:
        return
    width = 0.8 / len(bars)
    for i, series in enumerate(bars):
        places = [j - 0.4 + (i + 0.5) * width for j in range(len(series.x))]
        values = _numbers(series.y)
        axes.bar(places, values, width=0.92 * width, color=_color(series))
        if series.low is not None and series.high is not None:
            # With this order of arguments a missing end stays missing: max(nan, 0.0) is nan.
            below = [max(v - e, 0.0) for v, e in zip(values, _numbers(series.low), strict=True)]
            above = [max(e - v, 0.0) for v, e in zip(values, _numbers(series.high), strict=True)]
            axes.errorbar(
                places, values, yerr=[below, above], fmt="none", ecolor=_INK, elinewidth=0.8, capsize=1.5
            )
    axes.set_xticks(range(len(bars[0].x)), [str(x) for x in bars[0].x])
