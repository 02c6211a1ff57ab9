"""What pretraining learned: loss over tokens, on the batches and on held-out text of each source."""

from __future__ import annotations

from collections.abc import Iterator

from echochamber.analysis import learning_curves
from echochamber.evaluation import Cell
from echochamber.report.figures import Figure, Panel
from echochamber.report.material import Material
from echochamber.report.palette import format_colors
from echochamber.report.section import PRETRAINING, register_section
from echochamber.report.series import over_seeds, thinned

_BATCHES = "#9AA0A8"


@register_section(
    "pretraining", "What pretraining learned", short="Pretraining", order=90, needs=[PRETRAINING]
)
def pretraining(material: Material) -> Iterator[Figure]:
    """One panel per model."""
    models: dict[Cell, dict[str, dict[int, list[float]]]] = {}
    for row in learning_curves(material.run).to_pylist():
        position = row["tokens"] if row["tokens"] is not None else row["step"]
        curves = models.setdefault(Cell.of(row).over_seeds(), {})
        curves.setdefault(row["source"], {}).setdefault(position, []).append(row["loss"])
    if not models:
        return
    sources = list(dict.fromkeys(s for curves in models.values() for s in curves if s != "train"))
    colors = format_colors(sources)
    panels = []
    for model, curves in models.items():
        series = []
        for source, losses in curves.items():
            positions = thinned(sorted(losses))
            x, measured = (p / 1e6 for p in positions), [losses[p] for p in positions]
            if source == "train":
                series.append(over_seeds("training batches", x, measured, _BATCHES, width=1.3))
            else:
                series.append(over_seeds(source, x, measured, colors[source]))
        title = f"{model.size} on {model.mixture}" + (f", {model.sweep}" if model.sweep else "")
        panels.append(Panel(title, tuple(series), "million tokens", "nats per token", log_y=True))
    yield Figure(
        "pretraining",
        "Pretraining loss by source",
        "Loss on held-out documents of each source and on the training batches. With several seeds, lines "
        "show their mean and bands run from the lowest to the highest seed.",
        tuple(panels),
    )
