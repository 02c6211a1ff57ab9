"""What theory expected from the base model alone, beside what happened."""

from __future__ import annotations

from typing import Any

from echochamber.analysis import (
    Comparison,
    Forecast,
    Run,
    Trajectory,
    compare_forecast,
    forecast,
    kl_coefficients,
    rules_of_thumb,
)
from echochamber.report.build import Group, bar, design
from echochamber.report.figures import Figure, Panel
from echochamber.report.palette import INK

_COLORS = {"tilt": "#56B4E9", "pooled tilt": "#9AA0A8", "policy gradient": "#D55E00"}


def label(expected: Forecast) -> str:
    """A forecast's name with its beta."""
    if expected.beta is None:
        return expected.theory
    return (
        f"{expected.theory}, beta → 0" if expected.beta == 0 else f"{expected.theory}, beta {expected.beta:g}"
    )


def figure(group: Group) -> list[Figure]:
    """Expected final shares by each theory beside the measured ones of every arm."""
    if not group.arms or group.arms[0].greedy:
        return []
    base = group.members[0]
    formats = base.formats
    series = [bar("base model", formats, [base.share.at((0, f)) for f in range(len(formats))], INK)]
    for expected in forecast(group.arms[0]):
        found = [expected.share.at(f) for f in range(len(formats))]
        series.append(bar(f"expected: {label(expected)}", formats, found, _COLORS[expected.theory]))
    for t in group.arms:
        found = [t.share.at((-1, f)) for f in range(len(formats))]
        series.append(bar(f"measured: {t.arm}", formats, found, group.styles[t.arm][0]))
    return [
        Figure(
            f"forecast-{group.slug}",
            f"Forecast from the base model alone: {group.title}",
            "Tilt: the optimum of reward minus beta times KL, problem by problem; pooled tilt: the same "
            "on the shares and accuracies of the whole set. Policy gradient: gradient ascent on a softmax "
            "over formats and over being correct within each, until 99 % are correct; a format is taught "
            "only as often as it is sampled. Nothing is fitted. "
            f"{design(base)}",
            (Panel("Final share of each format", tuple(series), "", "", (), True, (0.0, 1.0)),),
        )
    ]


def table(run: Run, group: Group) -> dict[str, Any]:
    """Theories against arms: the expected and the measured winner, and the distance between the shares."""
    stated = kl_coefficients(run)
    rows: list[dict[str, Any]] = []
    for t in group.arms:
        beta = stated.get(t.arm.partition("[")[0], 0.0)
        for expected in forecast(t, (0.0,) if beta == 0 else (0.0, beta)):
            rows.append(_row(t, compare_forecast(expected, t)))
        for rule, winner in rules_of_thumb(t).items():
            measured = compare_forecast(expected, t).winner
            rows.append(
                {
                    "arm": t.arm,
                    "theory": f"the base model's {rule} format",
                    "expected": winner,
                    "measured": measured,
                    "right": winner == measured,
                    "distance": None,
                    "base": None,
                }
            )
    return {"title": group.title, "rows": rows}


def _row(t: Trajectory, found: Comparison) -> dict[str, Any]:
    return {
        "arm": t.arm,
        "theory": label(found.forecast),
        "expected": found.forecast.winner + (" (open)" if found.forecast.open else ""),
        "measured": found.winner,
        "right": found.right,
        "distance": found.distance,
        "base": found.distance_of_base,
    }
