"""Does it transfer: pass@1 before and after RL on every benchmark, a figure under "Before and after"."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from echochamber.analysis import Interval, Trajectory
from echochamber.evaluation import Cell
from echochamber.report.figures import Figure, Panel
from echochamber.report.material import ArmGroup, Material
from echochamber.report.section import SEVERAL_BENCHMARKS, register_figure
from echochamber.report.series import bar, share_panel

_NOT_MEASURED = Interval(math.nan, math.nan, math.nan)


@register_figure("before-after", needs=[SEVERAL_BENCHMARKS])
def transfer(material: Material) -> Iterator[Figure]:
    """One panel per base model that was measured on several benchmarks, and one more for greedy answers."""
    by_model: dict[str, list[ArmGroup]] = defaultdict(list)
    for group in material.groups:
        by_model[group.model].append(group)
    panels = []
    for model, groups in by_model.items():
        if len(groups) < 2:
            continue
        panels.append(_across(model, groups, {g.benchmark: {t.model: t for t in g.members} for g in groups}))
        if all(group.greedy for group in groups):
            panels.append(_across(f"{model}, greedy", groups, {g.benchmark: g.greedy for g in groups}))
    if panels:
        yield Figure(
            "transfer",
            "Does it transfer: pass@1 on every benchmark, before and after RL",
            "The last step of each arm, sampled and decoded greedily. The paired differences and their tests "
            'are in the section "The numbers".',
            tuple(panels),
        )


def _across(title: str, groups: Sequence[ArmGroup], found: Mapping[str, Mapping[Cell, Trajectory]]) -> Panel:
    """Accuracy at the last step of each arm, benchmark by benchmark."""
    series = []
    for t in groups[0].members:
        name = t.name if t.is_base else f"{t.name}, step {t.steps[-1]}"
        measured = [
            models[t.model].pass_at_1.at(-1) if t.model in models else _NOT_MEASURED
            for models in found.values()
        ]
        series.append(bar(name, tuple(found), measured, groups[0].styles[t.model][0]))
    return share_panel(title, series, y_label="pass@1")
