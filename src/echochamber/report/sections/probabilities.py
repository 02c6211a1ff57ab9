"""Before anything is sampled: the probability that a model gives each format, teacher-forced."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from markupsafe import Markup

from echochamber.analysis import Run, percent
from echochamber.evaluation import Cell
from echochamber.report.figures import Figure, step_position
from echochamber.report.material import ArmGroup, Material
from echochamber.report.section import ARMS, PROBABILITIES, Block, Fragment, Table, register_section
from echochamber.report.series import banded, over_seeds, step_panel
from echochamber.report.texts import marked

_COLUMNS = (
    "arm", "step", "format", "opening", "probability of the opening", "nats per token",
    "share of the references", "problems",
)  # fmt: skip
_INTRODUCTION = """
<p class="quiet">How probable the model finds text in each format, without any sampling. <i>Opening</i> is the
words that every solution in the format begins with (prose has none). <i>Share of the references</i> is the
format's share of the total likelihood of a problem's solutions in all formats, averaged over problems.</p>
"""


@register_section(
    "probabilities",
    "Before anything is sampled",
    short="Probabilities",
    order=80,
    needs=[ARMS, PROBABILITIES],
)
def probabilities(material: Material) -> Iterator[Block]:
    figures = [figure for group in material.primary for figure in openings(material.run, group)]
    if figures:
        yield from figures
        yield Fragment(_INTRODUCTION)
        yield whole_solutions(material.run)


def openings(run: Run, group: ArmGroup) -> Iterator[Figure]:
    """Probability of each format's opening over steps beside its sampled share; one panel per arm."""
    found: dict[Cell, dict[str, dict[int, list[float]]]] = defaultdict(lambda: defaultdict(dict))
    for row in run.format_probabilities:
        if row["opening_mass"] is not None:
            of_format = found[Cell.of(row).over_seeds()][row["format"]]
            of_format.setdefault(row["step"], []).append(row["opening_mass"])
    panels = []
    for t in group.arms:
        series = []
        for name, by_step in found.get(t.cell, {}).items():
            steps = sorted(by_step)
            color = group.colors.get(name, "#888888")
            label, measured = f"{name}: probability of its opening", [by_step[step] for step in steps]
            series.append(over_seeds(label, map(step_position, steps), measured, color))
            if name in t.formats:
                f = t.formats.index(name)
                label = f"{name}: share of samples"
                series.append(banded(label, t.steps, t.share, f, color=color, dash="dot"))
        if series:
            panels.append(step_panel(t.name, series, "probability", t.steps))
    if panels:
        yield Figure(
            f"teacher-forced-{group.slug}",
            f"Before anything is sampled: {group.title}",
            "Probability that the model begins its answer with the words that all solutions in a format "
            "begin with, averaged over the first problems, beside the share of samples in that format. Prose "
            "has no such words.",
            tuple(panels),
        )


def whole_solutions(run: Run) -> Table:
    """One row per format for each base model and for the last step of each arm."""
    last: dict[Cell, int] = {}
    cells = [Cell.of(row) for row in run.format_probabilities]
    for cell, row in zip(cells, run.format_probabilities, strict=True):
        last[cell] = max(last.get(cell, 0), row["step"])
    rows = [
        _row(cell, row)
        for cell, row in zip(cells, run.format_probabilities, strict=True)
        if row["step"] == last[cell]
    ]
    return Table("", _COLUMNS, rows, summary="Base model and last step, whole solutions included")


def _row(cell: Cell, row: dict[str, Any]) -> tuple[str | int | Markup | None, ...]:
    mass = row["opening_mass"]
    return (
        cell.name,
        row["step"],
        row["format"],
        marked("<code>{}</code>", row["opening"] or "–"),
        None if mass is None else percent(mass),
        f"{row['reference_logprob_per_token']:.3f}",
        percent(row["reference_share"]),
        row["num_problems"],
    )
