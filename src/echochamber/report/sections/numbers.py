"""The numbers at the last step of each arm: accuracy, its change, and shares and accuracy by format."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from echochamber.analysis import (
    NOT_A_FORMAT,
    Interval,
    Run,
    Trajectory,
    majority_per_problem,
    percent,
    points,
)
from echochamber.report.material import ArmGroup, Material, final_metrics
from echochamber.report.section import Block, Fragment, Table, Value, register_section
from echochamber.report.texts import change_text, difference_badge, marked, p_text

_INTRODUCTION = """
<p class="quiet">The numbers at the last step of each arm, with 95 % intervals in points, {{ covered }}.
<i>Change</i> is the paired difference of pass@1 from the base model, <i>p</i> is its p-value, and
<i>detectable</i> is the true difference that this comparison would find four times out of five {{ again }}.
<i>Greedy</i> is the accuracy of one greedy answer per problem. <i>Ties</i> is how often a vote of all samples
ends in a tie; the answer that sorts first then wins.</p>
"""


@register_section("numbers", "The numbers", short="Numbers", order=120)
def numbers(material: Material) -> Iterator[Block]:
    several = material.num_seeds > 1
    again = "if trained again" if several else "on other problems with the same two models"
    covered = "over problems and training runs" if several else "over problems only"
    yield Fragment(_INTRODUCTION, {"covered": covered, "again": again})
    for group in material.groups:
        yield accuracies(material.run, group)
        if group.arms:
            yield changes(group)
        yield by_format(group)


def accuracies(run: Run, group: ArmGroup) -> Table:
    """pass@k and maj@k, the greedy accuracy after the first of them, and how often a vote is a tie."""
    found = {t.model: final_metrics(run, t) for t in group.members}
    first, *others = found[group.base.model]
    rows: list[tuple[Value, ...]] = []
    for t in group.members:
        metrics, greedy = found[t.model], group.greedy.get(t.model)
        rows.append(
            (
                t.name,
                t.steps[-1],
                metrics[first],
                greedy.pass_at_1.at(-1) if greedy else None,
                *(metrics[name] for name in others),
                _ties(run, t),
            )
        )
    return Table(group.title, ("arm", "step", first, "greedy", *others, "ties"), rows)


def _ties(run: Run, t: Trajectory) -> str | None:
    if t.num_samples < 2:
        return None
    return percent(t.mean(majority_per_problem(run, t, -1, t.num_samples)[1]).estimate)


def changes(group: ArmGroup) -> Table:
    """The paired difference of each arm from the base model, sampled and greedy."""
    rows = []
    for t in group.arms:
        gain, greedy = t.gain(), group.greedy.get(t.model)
        rows.append(
            (
                t.name,
                change_text(gain.difference),
                difference_badge(gain),
                p_text(gain.p_value),
                points(gain.minimum_detectable, "").replace("+", ""),
                change_text(greedy.gain().difference) if greedy else None,
            )
        )
    columns = ("arm minus base", "change of pass@1", "outcome", "p", "detectable", "change of greedy")
    return Table("", columns, rows)


def by_format(group: ArmGroup) -> Table:
    """Share of every format and accuracy within it; one row per arm and one for its greedy answers."""
    columns: list[str] = ["arm"]
    for name in group.base.formats:
        swatch = marked('<i class="swatch" style="--mark: {}"></i>{} share', group.colors[name], name)
        columns += [swatch] if name in NOT_A_FORMAT else [swatch, f"{name} accuracy"]
    rows: list[tuple[Value, ...]] = []
    for t in group.members:
        rows.append((t.name, *_shares_and_accuracies(t)))
        if t.model in group.greedy:
            label: Markup = marked('<span class="quiet">{}, greedy</span>', t.name)
            rows.append((label, *_shares_and_accuracies(group.greedy[t.model])))
    return Table("", columns, rows)


def _shares_and_accuracies(t: Trajectory) -> list[Interval]:
    found = []
    for f, name in enumerate(t.formats):
        found.append(t.share.at((-1, f)))
        if name not in NOT_A_FORMAT:
            found.append(t.accuracy_by_format.at((-1, f)))
    return found
