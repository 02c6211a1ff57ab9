"""What theory expected from the base model alone, beside what happened."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from echochamber.analysis import (
    Forecast,
    Run,
    compare_forecast,
    forecast,
    kl_coefficient,
    percent,
    rules_of_thumb,
)
from echochamber.report.figures import Figure
from echochamber.report.material import ArmGroup, Material
from echochamber.report.palette import INK
from echochamber.report.section import ARMS, Block, Fragment, Table, register_section
from echochamber.report.series import bar, share_panel
from echochamber.report.texts import design, marked

_COLORS = {"tilt": "#56B4E9", "pooled tilt": "#9AA0A8", "policy gradient": "#D55E00"}
_EXPLANATION = """
<p class="quiet">✓ means that the forecast named the arm's winner. The number is the distance between expected
and measured shares: the fraction of samples that would have to change format to turn one into the other
(total variation). <i>Open</i> means that the intervals leave room for another winner. Arms whose reward says
nothing about correctness are left out.
{% if one_seed %}With one seed, the winner is that of this run.{% endif %}</p>
"""


@register_section("forecast", "What theory expected", short="Theory", order=50, needs=[ARMS])
def expected_and_measured(material: Material) -> Iterator[Block]:
    theories = [theory for group in material.primary if (theory := Theory(material.run, group)).arms]
    yield from (theory.figure() for theory in theories)
    yield from (theory.table() for theory in theories)
    if theories:
        yield Fragment(_EXPLANATION, {"one_seed": material.num_seeds == 1})


def label(expected: Forecast) -> str:
    """A forecast's name with its beta."""
    if expected.beta is None:
        return expected.theory
    return (
        f"{expected.theory}, beta → 0" if expected.beta == 0 else f"{expected.theory}, beta {expected.beta:g}"
    )


class Theory:
    """Forecasts for one group and the arms they are about: those rewarded for correct answers."""

    def __init__(self, run: Run, group: ArmGroup) -> None:
        self.group = group
        self.arms = [t for t in group.arms if not run.arm(t.cell).is_control and not t.greedy]
        betas = sorted({0.0} | {kl_coefficient(run, t) for t in self.arms})
        self.forecasts = forecast(group.base, betas) if self.arms else []

    def figure(self) -> Figure:
        """Expected final shares by each theory beside the measured ones of every arm."""
        base = self.group.base
        formats = base.formats
        series = [bar("base model", formats, [base.share.at((0, f)) for f in range(len(formats))], INK)]
        for expected in self.forecasts:
            if not expected.beta:
                found = [expected.share.at(f) for f in range(len(formats))]
                series.append(bar(f"expected: {label(expected)}", formats, found, _COLORS[expected.theory]))
        for t in self.arms:
            found = [t.share.at((-1, f)) for f in range(len(formats))]
            series.append(bar(f"measured: {t.name}", formats, found, self.group.styles[t.model][0]))
        return Figure(
            f"forecast-{self.group.slug}",
            f"Forecast from the base model alone: {self.group.title}",
            "Tilt: the optimum of reward minus beta times KL, problem by problem; pooled tilt: the same "
            "for the shares and accuracies of the whole set. Policy gradient: gradient ascent on a "
            "softmax over formats and over being correct within each, until 99 % are correct; a format "
            f"is trained only as often as it is sampled. Nothing is fitted. {design(base)}",
            (share_panel("Final share of each format", series),),
        )

    def table(self) -> Table:
        """One row per forecast: the winner it expects; for each arm whether it was right and how far off."""
        one_seed = self.group.base.num_seeds == 1
        rows: list[tuple[str | Markup, ...]] = []
        for expected in self.forecasts:
            compared = [compare_forecast(expected, t) for t in self.arms]
            marks = [_mark(c.right, percent(c.distance), one_seed=one_seed) for c in compared]
            rows.append((label(expected), expected.winner + (" (open)" if expected.open else ""), *marks))
        measured = [compare_forecast(self.forecasts[0], t) for t in self.arms]
        for rule, name in rules_of_thumb(self.group.base).items():
            marks = [_mark(c.winner == name, "", one_seed=one_seed) for c in measured]
            rows.append((f"the base model's {rule} format", name, *marks))
        rows.append(("nothing changes", "", *(percent(c.distance_of_base) for c in measured)))
        return Table(
            f"Who was expected to win, and who did: {self.group.title}",
            ("forecast", "expected winner", *(f"{c.cell.name} → {c.winner}" for c in measured)),
            rows,
        )


def _mark(right: bool, text: str, *, one_seed: bool) -> Markup:
    """Whether a forecast was right; with one seed, in the color of statements about one run."""
    color = "run" if one_seed else "right" if right else "wrong"
    return marked('<span class="outcome {}">{}</span> {}', color, "✓" if right else "✗", text)
