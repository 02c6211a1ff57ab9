"""Before and after: the base model against the last step of every arm, as bars."""

from __future__ import annotations

from collections.abc import Iterator

from echochamber.analysis import Run
from echochamber.report.figures import Figure
from echochamber.report.material import ArmGroup, Material, final_metrics
from echochamber.report.section import register_section
from echochamber.report.series import FEWEST, bar, enough_written, share_panel
from echochamber.report.texts import design


@register_section("before-after", "Before and after", short="Before/after", order=60)
def before_after(material: Material) -> Iterator[Figure]:
    yield from (final_bars(material.run, group) for group in material.groups)


def final_bars(run: Run, group: ArmGroup) -> Figure:
    """Bars for the base model and every arm's last step: accuracy by metric, share and accuracy by format."""
    metrics, shares, accuracies = [], [], []
    for t in group.members:
        label = t.name if t.is_base else f"{t.name}, step {t.steps[-1]}"
        color = group.styles[t.model][0]
        found = final_metrics(run, t)
        if t.model in group.greedy:
            found["greedy"] = group.greedy[t.model].pass_at_1.at(-1)
        enough = enough_written(t)
        places = [(-1, f) for f in range(len(t.formats))]
        metrics.append(bar(label, tuple(found), list(found.values()), color))
        shares.append(bar(label, t.formats, [t.share.at(place) for place in places], color))
        accuracies.append(bar(label, t.formats, [enough.at(place) for place in places], color))
    return Figure(
        f"before-after-{group.slug}",
        f"Before and after RL: {group.title}",
        "The last step of each arm, not its best one. A missing bar in the right panel means that fewer than "
        f"{FEWEST} samples were written in the format. {design(group.base)}",
        (
            share_panel("Problems solved", metrics),
            share_panel("Share of each format", shares),
            share_panel("Accuracy within each format", accuracies),
        ),
    )
