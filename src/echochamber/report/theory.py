"""What theory expected from the base model alone, beside what happened."""

from __future__ import annotations

from typing import Any

from echochamber.analysis import (
    Forecast,
    Run,
    compare_forecast,
    forecast,
    kl_coefficients,
    percent,
    rules_of_thumb,
    unrewarded_arms,
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


class Theory:
    """Forecasts for one group and the arms they speak about: those that are paid for correct answers."""

    def __init__(self, run: Run, group: Group) -> None:
        self.group = group
        without = unrewarded_arms(run)
        self.arms = [t for t in group.arms if t.arm not in without and not t.greedy]
        stated = kl_coefficients(run)
        betas = sorted({0.0} | {stated.get(t.arm.partition("[")[0], 0.0) for t in self.arms})
        self.forecasts = forecast(group.members[0], betas) if self.arms else []

    def figures(self) -> list[Figure]:
        """Expected final shares by each theory beside the measured ones of every arm."""
        if not self.arms:
            return []
        base = self.group.members[0]
        formats = base.formats
        series = [bar("base model", formats, [base.share.at((0, f)) for f in range(len(formats))], INK)]
        for expected in self.forecasts:
            if not expected.beta:
                found = [expected.share.at(f) for f in range(len(formats))]
                series.append(bar(f"expected: {label(expected)}", formats, found, _COLORS[expected.theory]))
        for t in self.arms:
            found = [t.share.at((-1, f)) for f in range(len(formats))]
            series.append(bar(f"measured: {t.arm}", formats, found, self.group.styles[t.arm][0]))
        return [
            Figure(
                f"forecast-{self.group.slug}",
                f"Forecast from the base model alone: {self.group.title}",
                "Tilt: the optimum of reward minus beta times KL, problem by problem; pooled tilt: the same "
                "on the shares and accuracies of the whole set. Policy gradient: gradient ascent on a "
                "softmax over formats and over being correct within each, until 99 % are correct; a format "
                f"is taught only as often as it is sampled. Nothing is fitted. {design(base)}",
                (Panel("Final share of each format", tuple(series), "", "", (), True, (0.0, 1.0)),),
            )
        ]

    def table(self) -> dict[str, Any]:
        """One row a forecast: the winner it expects; for each arm whether it was right and how far off."""
        rows: list[dict[str, Any]] = []
        if not self.arms:
            return {"title": self.group.title, "arms": [], "rows": rows, "base": []}
        for expected in self.forecasts:
            compared = [compare_forecast(expected, t) for t in self.arms]
            cells = [{"right": c.right, "text": percent(c.distance)} for c in compared]
            note = " (open)" if expected.open else ""
            rows.append({"theory": label(expected), "expected": expected.winner + note, "cells": cells})
        winners = [compare_forecast(self.forecasts[0], t) for t in self.arms]
        for rule, name in rules_of_thumb(self.group.members[0]).items():
            cells = [{"right": c.winner == name, "text": ""} for c in winners]
            rows.append({"theory": f"the base model's {rule} format", "expected": name, "cells": cells})
        return {
            "title": self.group.title,
            "arms": [f"{c.arm} → {c.winner}" for c in winners],
            "rows": rows,
            "base": [percent(c.distance_of_base) for c in winners],
        }
