"""Loss over tokens."""

import pytest

from echochamber.report.material import Material
from echochamber.report.sections.pretraining import pretraining


def test_losses_over_millions_of_tokens(material: Material) -> None:
    [figure] = pretraining(material)
    [panel] = figure.panels
    assert (panel.title, panel.y_label, panel.log_y) == ("pico on three", "nats per token", True)
    lines = {series.name: series for series in panel.series}
    assert set(lines) == {"training batches", "tinygsm", "llm_code", "boxed", "arithmetic"}
    rows = [row for row in material.run.metrics if row["stage"] == "pretrain"]
    assert lines["training batches"].x == pytest.approx(tuple(row["tokens"] / 1e6 for row in rows))
    assert lines["training batches"].y == pytest.approx(tuple(row["loss"] for row in rows))
    heldout = [row["heldout"]["boxed"] for row in rows if "heldout" in row]
    assert lines["boxed"].y == pytest.approx(tuple(heldout)) and lines["boxed"].low is None


def test_bands_over_seeds(several: Material) -> None:
    [figure] = pretraining(several)
    assert all(series.low is not None for series in figure.panels[0].series)
