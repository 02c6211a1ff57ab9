"""Accuracy over RL steps, sampled, greedy and within formats."""

import pytest
from recorded_run import share_of

from echochamber.report.material import Material
from echochamber.report.palette import INK
from echochamber.report.sections.accuracy import accuracy, accuracy_lines


def test_lines_show_the_counted_accuracies(material: Material) -> None:
    figure = accuracy_lines(material.primary[0])
    panel = figure.panels[0]
    lines = {series.name: series for series in panel.series}
    assert lines["all samples"].y[-1] == pytest.approx(share_of(material, "grpo", 40, correct=True))
    assert lines["decoded greedily"].y[-1] == pytest.approx(
        share_of(material, "grpo", 40, correct=True, greedy=True)
    )
    assert lines["llm_code"].y[-1] == pytest.approx(share_of(material, "grpo", 40, correct_in="llm_code"))
    assert (lines["all samples"].color, lines["decoded greedily"].dash) == (INK, "dot")
    assert "none" not in lines  # never correct: a line at 0 says nothing
    assert lines["boxed"].y[-1] is None  # nearly extinct: fewer than 10 samples


def test_one_figure_per_group_that_has_arms(material: Material, bare: Material) -> None:
    assert len(list(accuracy(material))) == len(material.groups)
    assert list(accuracy(bare)) == []
