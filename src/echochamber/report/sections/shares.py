"""Which formats survive: the share of each over RL steps, stacked and as lines with intervals."""

from __future__ import annotations

from collections.abc import Iterator

from echochamber.report.figures import Figure, Series, step_position
from echochamber.report.material import ArmGroup, Material
from echochamber.report.section import ARMS, register_section
from echochamber.report.series import banded, step_panel, values
from echochamber.report.texts import design


@register_section("shares", "Which formats survive", short="Formats", order=20, needs=[ARMS])
def shares(material: Material) -> Iterator[Figure]:
    for group in material.groups:
        if group.arms:
            yield share_areas(group)
            yield share_lines(group)


def share_areas(group: ArmGroup) -> Figure:
    """Stacked share of each format over RL steps, one panel per arm."""
    panels = []
    for t in group.arms:
        x = tuple(map(step_position, t.steps))
        series = [
            Series(name, x, values(t.share.estimate[:, f]), group.colors[name], kind="area")
            for f, name in enumerate(t.formats)
        ]
        panels.append(step_panel(t.name, series, "share of samples", t.steps))
    return Figure(
        f"shares-{group.slug}",
        f"Share of each format: {group.title}",
        "Every sample is counted in exactly one format. Step 0 is the base model. The intervals are in "
        f"the next figure. {design(group.base)}",
        tuple(panels),
    )


def share_lines(group: ArmGroup) -> Figure:
    """The same shares as lines with their intervals."""
    panels = []
    for t in group.arms:
        series = [
            banded(name, t.steps, t.share, f, color=group.colors[name]) for f, name in enumerate(t.formats)
        ]
        panels.append(step_panel(t.name, series, "share of samples", t.steps))
    return Figure(
        f"share-intervals-{group.slug}",
        f"The same shares with their intervals: {group.title}",
        design(group.base),
        tuple(panels),
    )
