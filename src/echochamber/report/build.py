"""From a run's tables to the figures of its report."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from echochamber.analysis import (
    BASE,
    Bands,
    Interval,
    Run,
    Trajectory,
    greedy_twin,
    learning_curves,
    majority_per_problem,
)
from echochamber.report.figures import Figure, Panel, Series, Value, step_position, step_ticks
from echochamber.report.palette import INK, arm_styles, format_colors

STEPS_LABEL = "RL steps (log scale)"
FEWEST = 10
"""An accuracy over fewer completions than this is not drawn: one lucky sample would look like a finding."""


class Group:
    """Trajectories that share a base model: one size and mixture, one benchmark, the base and every arm.

    Args:
        members: the base model first, then the arms in the study's order.
        found: every trajectory of the run, among them the members' greedy twins.
    """

    def __init__(self, members: Sequence[Trajectory], found: Sequence[Trajectory]) -> None:
        self.members = tuple(sorted(members, key=lambda t: not t.is_base))
        first = self.members[0]
        self.size, self.mixture, self.benchmark = first.size, first.mixture, first.benchmark
        self.styles = arm_styles(first.base, [t.arm for t in self.arms])
        self.colors = format_colors(first.formats)
        twins = {t.arm: greedy_twin(t, found) for t in self.members if not t.greedy}
        self.greedy = {arm: twin for arm, twin in twins.items() if twin is not None}
        """The members decoded greedily, by arm, where the study did so."""

    @property
    def arms(self) -> tuple[Trajectory, ...]:
        """The arms without the base model."""
        return tuple(t for t in self.members if not t.is_base)

    @property
    def point(self) -> str:
        """The sweep point of the base model, empty where pretraining was not swept over."""
        return self.members[0].base.removeprefix(BASE)

    @property
    def title(self) -> str:
        point = f" {self.point}" if self.point else ""
        return f"{self.size} on {self.mixture}{point}, {self.benchmark}"

    @property
    def slug(self) -> str:
        """For file names."""
        return "-".join(
            "".join(c if c.isalnum() else "_" for c in p)
            for p in (self.size, self.mixture, self.benchmark, self.point)
            if p
        )


def groups(found: Sequence[Trajectory]) -> list[Group]:
    """Sampled trajectories, or the greedy ones if nothing was sampled, by base model and benchmark.

    In order of first appearance: the study's first benchmark leads.
    """
    members: dict[tuple[str, ...], list[Trajectory]] = defaultdict(list)
    for t in [t for t in found if not t.greedy] or found:
        members[t.size, t.mixture, t.benchmark, t.base].append(t)
    return [Group(one, found) for one in members.values()]


def values(array: Iterable[float]) -> tuple[Value, ...]:
    """Floats with None in place of NaN."""
    return tuple(float(v) if math.isfinite(v) else None for v in array)


def banded(name: str, steps: Sequence[int], bands: Bands, column: int | None, **style: Any) -> Series:
    """A line over RL steps with its band; `column` picks a format where there are several."""
    estimate, low, high = (
        values(array if column is None else array[:, column])
        for array in (bands.estimate, bands.low, bands.high)
    )
    return Series(
        name,
        tuple(step_position(step) for step in steps),
        estimate,
        low=low,
        high=high,
        **style,
    )


def design(t: Trajectory) -> str:
    """What the intervals of a trajectory cover."""
    samples = f"{t.num_samples} samples each" if not t.greedy else "decoded greedily"
    if t.num_seeds > 1:
        covered = f"{t.num_seeds} seeds; 95 % intervals cover other problems and other trainings"
    else:
        covered = "one seed; 95 % intervals cover other problems only, not training again"
    return f"{t.num_problems} problems, {samples}, {covered}."


def share_areas(group: Group) -> Figure:
    """Stacked share of each format over RL steps, one panel an arm."""
    panels = []
    for t in group.arms:
        series = tuple(
            Series(
                name,
                tuple(step_position(step) for step in t.steps),
                values(t.share.estimate[:, f]),
                group.colors[name],
                kind="area",
            )
            for f, name in enumerate(t.formats)
        )
        panels.append(
            Panel(t.arm, series, STEPS_LABEL, "share of samples", step_ticks(t.steps), True, (0.0, 1.0))
        )
    return Figure(
        f"shares-{group.slug}",
        f"Share of each format: {group.title}",
        "Every sample is counted in exactly one format. Step 0 is the base model. The intervals are in "
        f"the next figure. {design(group.members[0])}",
        tuple(panels),
    )


def share_lines(group: Group) -> Figure:
    """The same shares as lines with their intervals."""
    panels = []
    for t in group.arms:
        series = tuple(
            banded(name, t.steps, t.share, f, color=group.colors[name]) for f, name in enumerate(t.formats)
        )
        panels.append(
            Panel(t.arm, series, STEPS_LABEL, "share of samples", step_ticks(t.steps), True, (0.0, 1.0))
        )
    return Figure(
        f"share-intervals-{group.slug}",
        f"The same shares with their intervals: {group.title}",
        design(group.members[0]),
        tuple(panels),
    )


def accuracy(group: Group) -> Figure:
    """Accuracy overall and within each format over RL steps, one panel an arm."""
    panels = []
    for t in group.arms:
        series = [banded("all samples", t.steps, t.pass_at_1, None, color=INK, width=3.0)]
        if t.arm in group.greedy:
            twin = group.greedy[t.arm]
            series.append(banded("decoded greedily", t.steps, twin.pass_at_1, None, color=INK, dash="dot"))
        drawn = _where_enough(t)
        for f, name in enumerate(t.formats):
            if np.nan_to_num(drawn.estimate[:, f]).max() > 0:  # a line at 0 throughout says nothing
                series.append(banded(name, t.steps, drawn, f, color=group.colors[name]))
        panels.append(
            Panel(t.arm, tuple(series), STEPS_LABEL, "correct", step_ticks(t.steps), True, (0.0, 1.0))
        )
    return Figure(
        f"accuracy-{group.slug}",
        f"Accuracy overall and within each format: {group.title}",
        "A format's accuracy is over the samples written in it, so its band widens as it dies out; it is not "
        f"drawn where fewer than {FEWEST} samples were. {design(group.members[0])}",
        tuple(panels),
    )


def _where_enough(t: Trajectory) -> Bands:
    """Accuracy by format, NaN where fewer than FEWEST completions carry it."""
    written = sum(count.completions.sum(axis=0) for count in t.counts)
    few = np.asarray(written) < FEWEST
    found = t.accuracy_by_format
    return Bands(*(np.where(few, np.nan, array) for array in (found.estimate, found.low, found.high)))


def final_metrics(run: Run, t: Trajectory, index: int) -> dict[str, Interval]:
    """pass@k and maj@k at one step by their labels, for the k that the summary holds."""
    row = next(
        r
        for r in run.rows
        if (r["size"], r["mixture"], r["benchmark"], r["greedy"])
        == (t.size, t.mixture, t.benchmark, t.greedy)
    )
    found: dict[str, Interval] = {}
    for k in sorted(int(k) for k in row["pass_at"]):
        found[f"pass@{k}"] = t.mean(t.pass_per_problem(index, k))
        if k > 1:
            found[f"maj@{k}"] = t.mean(majority_per_problem(run, t, index, k)[0])
    return found


def before_after(run: Run, group: Group) -> Figure:
    """Bars of base against every arm's last step: accuracy by metric, share and accuracy by format."""
    shown = [(t.arm if t.is_base else f"{t.arm}, step {t.steps[-1]}", t) for t in group.members]
    metrics, shares, accuracies = [], [], []
    for label, t in shown:
        color = group.styles[t.arm][0]
        found = final_metrics(run, t, -1)
        if t.arm in group.greedy:
            found["greedy"] = group.greedy[t.arm].pass_at_1.at(-1)
        metrics.append(bar(label, tuple(found), list(found.values()), color))
        by_format = [t.share.at((-1, f)) for f in range(len(t.formats))]
        shares.append(bar(label, t.formats, by_format, color))
        enough = _where_enough(t)
        by_format = [enough.at((-1, f)) for f in range(len(t.formats))]
        accuracies.append(bar(label, t.formats, by_format, color))
    return Figure(
        f"before-after-{group.slug}",
        f"Before and after RL: {group.title}",
        "The last step of each arm, not its best one. A missing bar in the right panel means that fewer than "
        f"{FEWEST} samples were written in the format. {design(group.members[0])}",
        (
            Panel("Problems solved", tuple(metrics), "", "", (), True, (0.0, 1.0)),
            Panel("Share of each format", tuple(shares), "", "", (), True, (0.0, 1.0)),
            Panel("Accuracy within each format", tuple(accuracies), "", "", (), True, (0.0, 1.0)),
        ),
    )


def bar(label: str, names: Sequence[str], found: Sequence[Interval], color: str) -> Series:
    """Bars of one series over named categories, with their intervals."""
    return Series(
        label,
        tuple(names),
        values(i.estimate for i in found),
        color,
        low=values(i.low for i in found),
        high=values(i.high for i in found),
        kind="bar",
    )


def pretraining(run: Run) -> list[Figure]:
    """Pretraining loss over tokens: the batches, and held-out text of each source; one panel a model."""
    cells: dict[tuple[str, str], dict[str, dict[int, list[float]]]] = {}
    for row in learning_curves(run).to_pylist():
        position = row["tokens"] if row["tokens"] is not None else row["step"]
        curves = cells.setdefault((row["size"], row["mixture"]), {})
        curves.setdefault(row["source"], {}).setdefault(position, []).append(row["loss"])
    if not cells:
        return []
    sources = list(dict.fromkeys(s for curves in cells.values() for s in curves if s != "train"))
    colors = format_colors(sources)
    panels = []
    for (size, mixture), curves in cells.items():
        series = []
        for source, points in curves.items():
            positions = thinned(sorted(points))
            runs = [points[p] for p in positions]
            several = any(len(losses) > 1 for losses in runs)
            series.append(
                Series(
                    "training batches" if source == "train" else source,
                    tuple(p / 1e6 for p in positions),
                    tuple(sum(losses) / len(losses) for losses in runs),
                    "#9AA0A8" if source == "train" else colors[source],
                    low=tuple(min(losses) for losses in runs) if several else None,
                    high=tuple(max(losses) for losses in runs) if several else None,
                    width=1.3 if source == "train" else 2.0,
                )
            )
        panels.append(
            Panel(f"{size} on {mixture}", tuple(series), "million tokens", "nats a token", log_y=True)
        )
    return [
        Figure(
            "pretraining",
            "Pretraining loss by source",
            "Loss on held-out documents of each source, and on the training batches. With several seeds, "
            "lines are their mean and bands run from the lowest to the highest.",
            tuple(panels),
        )
    ]


def thinned(positions: Sequence[int], most: int = 400) -> list[int]:
    """At most so many positions, evenly spread, the last included: the page of a long run stays light."""
    stride = max(1, math.ceil(len(positions) / most))
    return [*positions[:-1:stride], positions[-1]]
