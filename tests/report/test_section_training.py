"""What each step of training recorded."""

import pytest

from echochamber.report.html import block_html
from echochamber.report.material import Material
from echochamber.report.section import Fragment
from echochamber.report.sections.training import curves, rollout_shares, training


def _recorded(material: Material, arm: str, name: str) -> list[float]:
    return [row[name] for row in material.run.metrics if row["stage"] == "rl" and row["arm"] == arm]


def test_curves_are_the_recorded_metrics(material: Material) -> None:
    [figure] = curves(material.run, material.primary[0])
    panels = {panel.title: panel for panel in figure.panels}
    assert "KL to the base, nats per token" in panels and "critic: explained variance" not in panels
    reward = panels["reward"].series[0]
    assert reward.name == "grpo" and reward.x == tuple(map(float, range(1, 41)))
    assert reward.y == pytest.approx(tuple(_recorded(material, "grpo", "reward")))
    assert reward.low is None  # one seed has no band


def test_several_seeds_have_a_band(several: Material) -> None:
    [figure] = curves(several.run, several.primary[0])
    line = figure.panels[0].series[0]
    assert line.low is not None and line.high is not None
    rows = _recorded(several, "grpo", "reward")
    last = [rows[39], rows[79], rows[119]]
    assert line.y[-1] == pytest.approx(sum(last) / 3)
    assert (line.low[-1], line.high[-1]) == (min(last), max(last))


def test_shares_while_training_sum_to_one(material: Material) -> None:
    [figure] = rollout_shares(material.run, material.primary[0])
    assert [panel.title for panel in figure.panels] == ["grpo", "random", "ppo"]
    for panel in figure.panels:
        assert [sum(y) for y in zip(*(s.y for s in panel.series), strict=True)] == pytest.approx([1.0] * 40)


def test_alarms_are_listed(material: Material) -> None:
    *_, last = training(material)
    assert isinstance(last, Fragment)
    text = " ".join(block_html(last).split())
    assert "<b>grpo</b> (pico on three, seed 0), step 7: the entropy fell to 0.01 nats</li>" in text
