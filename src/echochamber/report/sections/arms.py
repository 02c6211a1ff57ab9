"""The arms compared: accuracy over steps, samples and seconds, and the paired tests of every pair."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from echochamber.analysis import Headline, Run, Trajectory, compare_arms, cost, headline
from echochamber.report.figures import Figure, Panel, Series
from echochamber.report.material import ArmGroup, Material
from echochamber.report.section import SEVERAL_ARMS, Block, Fragment, Table, register_section
from echochamber.report.series import banded, share_panel, step_panel
from echochamber.report.texts import change_text, design, difference_badge, p_text

_ONE_SEED = """
<p class="quiet">Each arm was trained once: these intervals and tests cover the choice of problems. They
say whether these runs differ, not whether the algorithms would differ with other seeds.</p>
"""


@register_section("arms", "The arms compared", short="Arms", order=40, needs=[SEVERAL_ARMS])
def arms(material: Material) -> Iterator[Block]:
    for group in material.primary:
        if len(group.arms) > 1:
            yield against_cost(material.run, group, headline(group.arms[0]))
    for group in material.groups:
        if len(group.arms) > 1:
            yield pairs(group)
    if material.num_seeds == 1:
        yield Fragment(_ONE_SEED)


def against_cost(run: Run, group: ArmGroup, main: Headline) -> Figure:
    """pass@1 over steps, samples and seconds, and the share of the winning format; one line per arm.

    Args:
        main: headline of the arm whose winning format is shown.
    """
    spent = {t.model: cost(run, t) for t in group.arms}
    over_steps = [_accuracy_line(group, t) for t in group.arms]
    steps = sorted({step for t in group.arms for step in t.steps})
    panels: list[Panel] = [step_panel("by step", over_steps, "pass@1", steps)]
    for title, label, positions in (
        ("by samples seen", "training samples", [spent[t.model].samples for t in group.arms]),
        ("by seconds", "seconds of training", [spent[t.model].seconds for t in group.arms]),
    ):
        lines = [_against(line, where) for line, where in zip(over_steps, positions, strict=True)]
        long_enough = [line for line in lines if len(line.x) > 1]
        if long_enough:
            panels.append(share_panel(title, long_enough, label, "pass@1"))
    if main.winner is not None:
        name = main.winner.name
        f = group.arms[0].formats.index(name)
        shares = [
            banded(t.name, t.steps, t.share, f, color=group.styles[t.model][0], dash=group.styles[t.model][1])
            for t in group.arms
        ]
        panels.append(step_panel(f"share of {name}", shares, "share", steps))
    return Figure(
        f"arms-{group.slug}",
        f"The arms against each other: {group.title}",
        "All arms start from the same base model. Seconds are training time on this machine without "
        f"evaluations, averaged over seeds. {design(group.base)}",
        tuple(panels),
    )


def _accuracy_line(group: ArmGroup, t: Trajectory) -> Series:
    color, dash = group.styles[t.model]
    return banded(t.name, t.steps, t.pass_at_1, None, color=color, dash=dash, width=2.5)


def _against(line: Series, positions: Sequence[float | None]) -> Series:
    """The same line over other positions; points without one are left out."""
    known = [i for i, x in enumerate(positions) if x is not None]
    low, high = line.low or (), line.high or ()
    return replace(
        line,
        x=tuple(float(x) for x in positions if x is not None),
        y=tuple(line.y[i] for i in known),
        low=tuple(low[i] for i in known),
        high=tuple(high[i] for i in known),
    )


def pairs(group: ArmGroup) -> Table:
    """Every pair of arms: the sampled difference with its corrected test, and the greedy one beside it."""
    compared = compare_arms(group.arms)
    greedy = {
        (c.first, c.second): c.test
        for c in compare_arms([group.greedy[t.model] for t in group.arms if t.model in group.greedy])
    }
    rows = []
    for c in compared:
        twin = greedy.get((c.first, c.second))
        rows.append(
            (
                f"{c.first.name} − {c.second.name}",
                change_text(c.test.difference),
                p_text(c.adjusted_p),
                difference_badge(c.test, inside_noise=c.inside_noise),
                change_text(twin.difference) if twin else None,
            )
        )
    return Table(
        f"Pass@1 at the last step, arm minus arm: {group.title}",
        (
            "arms", "difference, points", f"p, corrected for {len(rows)} pairs", "outcome",
            "decoded greedily, points",
        ),
        rows,
    )  # fmt: skip
