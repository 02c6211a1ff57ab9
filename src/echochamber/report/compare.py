"""Figures that set arms beside each other: accuracy over cost, the dynamics of training, other benchmarks."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from echochamber.analysis import Headline, Interval, Run, Trajectory, cost, rl_curves, training_shares
from echochamber.report.build import (
    STEPS_LABEL,
    Group,
    banded,
    bar,
    design,
    thinned,
    values,
)
from echochamber.report.figures import Figure, Panel, Series, step_position, step_ticks
from echochamber.report.palette import format_colors

NOTHING = Interval(math.nan, math.nan, math.nan)
METRICS = (
    ("reward", "reward"),
    ("correct", "correct, training questions"),
    ("kl", "KL to the base, nats a token"),
    ("entropy", "entropy, nats a token"),
    ("format_entropy", "entropy of the formats, nats"),
    ("mean_tokens", "mean length, tokens"),
    ("no_signal_fraction", "groups without signal"),
    ("grad_norm", "gradient norm"),
    ("mismatch", "train/rollout log-prob mismatch"),
    ("explained_variance", "critic: explained variance"),
)


def arms(run: Run, group: Group, main: Headline | None) -> list[Figure]:
    """pass@1 over steps, samples and seconds, and the share of the winning format; one line an arm."""
    if len(group.arms) < 2:
        return []
    spent = {t.arm: cost(run, t) for t in group.arms}
    over_steps = [_accuracy_line(group, t) for t in group.arms]
    steps = sorted({step for t in group.arms for step in t.steps})
    panels = [Panel("by step", tuple(over_steps), STEPS_LABEL, "pass@1", step_ticks(steps), True, (0.0, 1.0))]
    for title, label, positions in (
        ("by samples seen", "training samples", [spent[t.arm].samples for t in group.arms]),
        ("by seconds", "seconds of training", [spent[t.arm].seconds for t in group.arms]),
    ):
        lines = [_against(line, where) for line, where in zip(over_steps, positions, strict=True)]
        kept = tuple(line for line in lines if len(line.x) > 1)
        if kept:
            panels.append(Panel(title, kept, label, "pass@1", (), True, (0.0, 1.0)))
    if main is not None and main.winner is not None:
        name = main.winner.name
        f = group.arms[0].formats.index(name)
        shares = tuple(
            banded(t.arm, t.steps, t.share, f, color=group.styles[t.arm][0], dash=group.styles[t.arm][1])
            for t in group.arms
        )
        panels.append(
            Panel(f"share of {name}", shares, STEPS_LABEL, "share", step_ticks(steps), True, (0.0, 1.0))
        )
    return [
        Figure(
            f"arms-{group.slug}",
            f"The arms against each other: {group.title}",
            "All arms start from the same base model. Seconds are those of training on this machine, "
            f"evaluations left out, averaged over seeds. {design(group.members[0])}",
            tuple(panels),
        )
    ]


def _accuracy_line(group: Group, t: Trajectory) -> Series:
    color, dash = group.styles[t.arm]
    return banded(t.arm, t.steps, t.pass_at_1, None, color=color, dash=dash, width=2.5)


def _against(line: Series, positions: Sequence[float | None]) -> Series:
    """The same line over other positions; points without one are left out."""
    kept = [i for i, x in enumerate(positions) if x is not None]
    low, high = line.low or (), line.high or ()
    return replace(
        line,
        x=tuple(float(x) for x in positions if x is not None),
        y=tuple(line.y[i] for i in kept),
        low=tuple(low[i] for i in kept),
        high=tuple(high[i] for i in kept),
    )


def dynamics(run: Run, group: Group) -> list[Figure]:
    """What training recorded at each step: one panel a metric, one line an arm."""
    found: dict[str, dict[str, dict[int, list[float]]]] = defaultdict(lambda: defaultdict(dict))
    for row in rl_curves(run).to_pylist():
        if (row["size"], row["mixture"]) == (group.size, group.mixture) and row["arm"] in group.styles:
            found[row["metric"]][row["arm"]].setdefault(row["step"], []).append(row["value"])
    panels = []
    for metric, title in METRICS:
        lines = []
        for arm, by_step in found.get(metric, {}).items():
            steps = thinned(sorted(by_step))
            runs = [by_step[step] for step in steps]
            several = any(len(one) > 1 for one in runs)
            color, dash = group.styles[arm]
            lines.append(
                Series(
                    arm,
                    tuple(float(step) for step in steps),
                    tuple(sum(one) / len(one) for one in runs),
                    color,
                    low=tuple(min(one) for one in runs) if several else None,
                    high=tuple(max(one) for one in runs) if several else None,
                    dash=dash,
                    width=1.6,
                )
            )
        if lines:
            panels.append(Panel(title, tuple(lines), "RL step"))
    if not panels:
        return []
    return [
        Figure(
            f"dynamics-{group.slug}",
            f"What training recorded: {group.size} on {group.mixture}",
            "Measured at every step on the completions sampled for training, by the policy that wrote them. "
            "With several seeds, lines are their mean and bands run from the lowest to the highest.",
            tuple(panels),
        )
    ]


def rollout_shares(run: Run, group: Group) -> list[Figure]:
    """Stacked share of each format among the training completions, at every step; one panel an arm."""
    found: dict[str, dict[int, dict[str, list[float]]]] = defaultdict(lambda: defaultdict(dict))
    for row in training_shares(run).to_pylist():
        if (row["size"], row["mixture"]) == (group.size, group.mixture) and row["arm"] in group.styles:
            found[row["arm"]][row["step"]].setdefault(row["format"], []).append(row["share"])
    formats = [
        name
        for name in group.members[0].formats
        if any(name in share for by_step in found.values() for share in by_step.values())
    ]
    formats += sorted({n for by_step in found.values() for s in by_step.values() for n in s} - set(formats))
    colors = format_colors(formats)
    panels = []
    for arm, by_step in found.items():
        steps = thinned(sorted(by_step))
        # A format that a seed did not write at a step has no entry there: its share is 0.
        seeds = max(len(one) for share in by_step.values() for one in share.values())
        areas = tuple(
            Series(
                name,
                tuple(float(step) for step in steps),
                values(sum(by_step[step].get(name, [])) / seeds for step in steps),
                colors[name],
                kind="area",
            )
            for name in formats
        )
        panels.append(Panel(arm, areas, "RL step", "share of training samples", (), True, (0.0, 1.0)))
    if not panels:
        return []
    return [
        Figure(
            f"training-shares-{group.slug}",
            f"Shares while training, at every step: {group.size} on {group.mixture}",
            "Completions sampled for training, on training questions; the mean over seeds. The evaluated "
            "shares above, on held-out questions, are the ones to quote.",
            tuple(panels),
        )
    ]


def teacher_forced(run: Run, group: Group) -> list[Figure]:
    """Probability of each format's opening over steps beside its sampled share; one panel an arm."""
    found: dict[str, dict[str, dict[int, list[float]]]] = defaultdict(lambda: defaultdict(dict))
    cell = (group.size, group.mixture, group.benchmark)
    for row in run.format_probabilities:
        if (row["size"], row["mixture"], row["benchmark"]) == cell and row["opening_mass"] is not None:
            found[row["arm"]][row["format"]].setdefault(row["step"], []).append(row["opening_mass"])
    panels = []
    for t in group.arms:
        series = []
        for name, by_step in found.get(t.arm, {}).items():
            steps = sorted(by_step)
            runs = [by_step[step] for step in steps]
            color = group.colors.get(name, "#888888")
            mean = [sum(one) / len(one) for one in runs]
            several = any(len(one) > 1 for one in runs)
            series.append(
                Series(
                    f"{name}: probability of its opening",
                    tuple(step_position(step) for step in steps),
                    values(mean),
                    color,
                    low=values(min(one) for one in runs) if several else None,
                    high=values(max(one) for one in runs) if several else None,
                )
            )
            if name in t.formats:
                f = t.formats.index(name)
                series.append(
                    banded(f"{name}: share of samples", t.steps, t.share, f, color=color, dash="dot")
                )
        if series:
            panels.append(
                Panel(t.arm, tuple(series), STEPS_LABEL, "probability", step_ticks(t.steps), True, (0.0, 1.0))
            )
    if not panels:
        return []
    return [
        Figure(
            f"teacher-forced-{group.slug}",
            f"Before anything is sampled: {group.title}",
            "Probability that the model begins its answer with the words that all solutions in a format "
            "begin with, averaged over the first problems, beside the share of samples in that format. Prose "
            "has no such words.",
            tuple(panels),
        )
    ]


def transfer(groups: Sequence[Group]) -> list[Figure]:
    """pass@1 before and after RL on every benchmark, one panel a size and mixture; needs two benchmarks."""
    cells: dict[tuple[str, str, str], list[Group]] = defaultdict(list)
    for group in groups:
        cells[group.size, group.mixture, group.point].append(group)
    panels = []
    for (size, mixture, point), some in cells.items():
        if len(some) < 2:
            continue
        where = f"{size} on {mixture}{' ' + point if point else ''}"
        panels.append(_across(where, some, {g.benchmark: {t.arm: t for t in g.members} for g in some}))
        if all(group.greedy for group in some):
            panels.append(_across(f"{where}, greedy", some, {g.benchmark: g.greedy for g in some}))
    if not panels:
        return []
    return [
        Figure(
            "transfer",
            "Does it transfer: pass@1 on every benchmark, before and after RL",
            "The last step of each arm, sampled and decoded greedily. The paired differences and their tests "
            "stand under The numbers.",
            tuple(panels),
        )
    ]


def _across(title: str, groups: Sequence[Group], found: Mapping[str, Mapping[str, Trajectory]]) -> Panel:
    """Accuracy at the last step of each arm, benchmark by benchmark."""
    series = []
    for t in groups[0].members:
        name = t.arm if t.is_base else f"{t.arm}, step {t.steps[-1]}"
        measured = [
            by_arm[t.arm].pass_at_1.at(-1) if t.arm in by_arm else NOTHING for by_arm in found.values()
        ]
        series.append(bar(name, tuple(found), measured, groups[0].styles[t.arm][0]))
    return Panel(title, tuple(series), "", "pass@1", (), True, (0.0, 1.0))
