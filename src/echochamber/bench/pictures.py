"""The two pictures of docs/performance.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from echochamber.bench.measure import Row

COLORS = ("#4477aa", "#66ccee", "#228833", "#ccbb44", "#ee6677", "#aa3377", "#bbbbbb", "#dddddd")


def _figure(width: float, height: float, panels: int) -> tuple[Any, Any]:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt.subplots(1, panels, figsize=(width, height), squeeze=False, layout="constrained")


def _save(figure: Any, path: Path) -> None:
    import matplotlib.pyplot as plt

    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def draw_profile(rows: Sequence[Row], kinds: Sequence[str], path: Path) -> None:
    """One bar per case, split by kind of operator; a line marks the arithmetic floor."""
    figure, axes = _figure(10, 1.2 + 0.5 * len(rows), 1)
    panel = axes[0, 0]
    for y, row in enumerate(reversed(rows)):
        left = 0.0
        for kind, color in zip(kinds, COLORS, strict=True):
            share = row["parts"].get(kind, 0.0)
            panel.barh(y, share, left=left, color=color, label=kind if y == 0 else None, height=0.7)
            left += share
        floor = row["floor_fraction"]
        panel.plot([floor, floor], [y - 0.42, y + 0.42], color="black", linewidth=2)
    panel.set_yticks(range(len(rows)))
    panel.set_yticklabels(
        [f"{row['case']}\n{1000 * row['ours']['median_seconds']:.0f} ms" for row in reversed(rows)],
        fontsize=8,
    )
    panel.set_xlim(0, 1)
    panel.set_xlabel("share of the time inside operators; black: the arithmetic floor as a share of the step")
    figure.legend(loc="outside upper center", ncols=4, fontsize=8, frameon=False)
    _save(figure, path)


def draw_scaling(rows: Sequence[Row], path: Path) -> None:
    """One panel per axis: seconds against the varied quantity, with the slope of proportional growth."""
    names = list(dict.fromkeys(row["axis"] for row in rows))
    figure, axes = _figure(3.4 * len(names), 3.2, len(names))
    for panel, name in zip(axes[0], names, strict=True):
        chosen = [row for row in rows if row["axis"] == name]
        numeric = all(isinstance(row["x"], int) for row in chosen)
        xs = [row["x"] if numeric else row["parameters"] for row in chosen]
        seconds = [row["ours"]["median_seconds"] for row in chosen]
        panel.loglog(xs, seconds, "o-", color=COLORS[0], label="seconds")
        proportional = [seconds[-1] * x / xs[-1] for x in xs]
        panel.loglog(xs, proportional, ":", color="#888888", label="proportional")
        if "peak_mib" in chosen[0]:
            panel.loglog(xs, [row["peak_mib"] for row in chosen], "s-", color=COLORS[4], label="peak MiB")
        panel.set_xlabel(name if numeric else "parameters of the model")
        panel.minorticks_off()
        labels = [str(row["x"]) for row in chosen]
        panel.set_xticks(xs, labels, fontsize=8)
        panel.legend(fontsize=7, frameon=False)
    axes[0, 0].set_ylabel("a GRPO step of 8 prompts" if len(names) > 1 else "")
    _save(figure, path)
