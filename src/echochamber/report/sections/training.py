"""During training: what each RL step recorded, the formats it sampled, and the alarms it raised."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from echochamber.analysis import Run, rl_curves, training_shares
from echochamber.evaluation import Cell
from echochamber.report.figures import Figure, Panel, Series
from echochamber.report.material import ArmGroup, Material
from echochamber.report.palette import format_colors
from echochamber.report.section import TRAINING, Block, Fragment, register_section
from echochamber.report.series import over_seeds, share_panel, thinned, values

_METRICS = (
    ("reward", "reward"),
    ("correct", "correct, training questions"),
    ("kl", "KL to the base, nats per token"),
    ("entropy", "entropy, nats per token"),
    ("format_entropy", "entropy of the formats, nats"),
    ("mean_tokens", "mean length, tokens"),
    ("no_signal_fraction", "groups without signal"),
    ("grad_norm", "gradient norm"),
    ("mismatch", "train/rollout log-prob mismatch"),
    ("explained_variance", "critic: explained variance"),
)
_ALARMS = """
<h3>Alarms</h3>
<ul>{% for cell, row in alarms %}<li><b>{{ cell.name }}</b>
  ({{ cell.size }} on {{ cell.mixture }}, seed {{ cell.seed }}), step {{ row.step }}: {{ row.alarm }}</li>
{%- endfor %}</ul>
"""


@register_section("training", "During training", short="Training", order=70, needs=[TRAINING])
def training(material: Material) -> Iterator[Block]:
    run = material.run
    for group in material.primary:
        yield from curves(run, group)
        yield from rollout_shares(run, group)
    if run.alarms:
        yield Fragment(_ALARMS, {"alarms": [(Cell.of(row), row) for row in run.alarms]})


def curves(run: Run, group: ArmGroup) -> Iterator[Figure]:
    """One panel per recorded metric, one line per arm."""
    found: dict[str, dict[Cell, dict[int, list[float]]]] = defaultdict(lambda: defaultdict(dict))
    for row in rl_curves(run).to_pylist():
        if (arm := Cell.of(row).over_seeds()) in group.styles:
            found[row["metric"]][arm].setdefault(row["step"], []).append(row["value"])
    panels = []
    for metric, title in _METRICS:
        lines = []
        for arm, by_step in found.get(metric, {}).items():
            steps = thinned(sorted(by_step))
            color, dash = group.styles[arm]
            measured = [by_step[step] for step in steps]
            lines.append(over_seeds(arm.name, map(float, steps), measured, color, dash=dash, width=1.6))
        if lines:
            panels.append(Panel(title, tuple(lines), "RL step"))
    if panels:
        yield Figure(
            f"dynamics-{group.slug}",
            f"What training recorded: {group.model}",
            "Measured at every step on the completions sampled for training, with the policy that wrote "
            "them. With several seeds, lines show their mean and bands run from the lowest to the highest "
            "seed.",
            tuple(panels),
        )


def rollout_shares(run: Run, group: ArmGroup) -> Iterator[Figure]:
    """Stacked share of each format among the training completions, at every step; one panel per arm."""
    found: dict[Cell, dict[int, dict[str, list[float]]]] = defaultdict(lambda: defaultdict(dict))
    for row in training_shares(run).to_pylist():
        if (arm := Cell.of(row).over_seeds()) in group.styles:
            found[arm][row["step"]].setdefault(row["format"], []).append(row["share"])
    if not found:
        return
    written = {name for by_step in found.values() for share in by_step.values() for name in share}
    formats = [name for name in group.base.formats if name in written]
    formats += sorted(written - set(formats))
    colors = format_colors(formats)
    panels = []
    for arm, by_step in found.items():
        steps = thinned(sorted(by_step))
        # A format that a seed did not write at a step has no entry there: its share is 0.
        seeds = max(len(one) for share in by_step.values() for one in share.values())
        areas = [
            Series(
                name,
                tuple(map(float, steps)),
                values(sum(by_step[step].get(name, [])) / seeds for step in steps),
                colors[name],
                kind="area",
            )
            for name in formats
        ]
        panels.append(share_panel(arm.name, areas, "RL step", "share of training samples"))
    yield Figure(
        f"training-shares-{group.slug}",
        f"Shares during training, at every step: {group.model}",
        "Shares among the completions sampled for training, on training questions, averaged over seeds. The "
        "evaluated shares above, on held-out questions, are the ones to quote.",
        tuple(panels),
    )
