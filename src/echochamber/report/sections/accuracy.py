"""Does it get the answers right: accuracy overall and within each format over RL steps."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from echochamber.report.figures import Figure
from echochamber.report.material import ArmGroup, Material
from echochamber.report.palette import INK
from echochamber.report.section import ARMS, register_section
from echochamber.report.series import FEWEST, banded, enough_written, step_panel
from echochamber.report.texts import design


@register_section("accuracy", "Does it get the answers right", short="Accuracy", order=30, needs=[ARMS])
def accuracy(material: Material) -> Iterator[Figure]:
    yield from (accuracy_lines(group) for group in material.groups if group.arms)


def accuracy_lines(group: ArmGroup) -> Figure:
    """Accuracy overall and within each format over RL steps, one panel per arm."""
    panels = []
    for t in group.arms:
        series = [banded("all samples", t.steps, t.pass_at_1, None, color=INK, width=3.0)]
        if t.model in group.greedy:
            twin = group.greedy[t.model]
            series.append(banded("decoded greedily", t.steps, twin.pass_at_1, None, color=INK, dash="dot"))
        measured = enough_written(t)
        for f, name in enumerate(t.formats):
            if np.nan_to_num(measured.estimate[:, f]).max() > 0:  # a line at 0 throughout says nothing
                series.append(banded(name, t.steps, measured, f, color=group.colors[name]))
        panels.append(step_panel(t.name, series, "correct", t.steps))
    return Figure(
        f"accuracy-{group.slug}",
        f"Accuracy overall and within each format: {group.title}",
        "A format's accuracy is over the samples written in it, so its band widens as the format dies out; "
        f"it is not drawn where there are fewer than {FEWEST} such samples. {design(group.base)}",
        tuple(panels),
    )
