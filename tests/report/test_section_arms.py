"""The arms compared: by what they cost, and pair by pair."""

import pytest
from recorded_run import share_of

from echochamber.analysis import headline
from echochamber.report.figures import Figure
from echochamber.report.html import block_html
from echochamber.report.material import Material
from echochamber.report.section import Fragment, Table
from echochamber.report.sections.arms import against_cost, arms, pairs


def test_accuracy_over_steps_samples_and_seconds(material: Material) -> None:
    group = material.primary[0]
    figure = against_cost(material.run, group, headline(group.arms[0]))
    assert [p.title for p in figure.panels] == [
        "by step",
        "by samples seen",
        "by seconds",
        "share of llm_code",
    ]
    by_step, by_samples, by_seconds, shares = figure.panels
    for panel in figure.panels:
        assert [series.name for series in panel.series] == ["grpo", "random", "ppo"]
    steps = group.arms[0].steps
    assert by_samples.series[0].x == tuple(256.0 * step for step in steps)
    assert by_seconds.series[0].x == pytest.approx([0.9 * step for step in steps])
    assert by_step.series[0].y == by_samples.series[0].y == by_seconds.series[0].y
    assert by_step.series[0].y[-1] == pytest.approx(share_of(material, "grpo", 40, correct=True))
    assert shares.series[2].y[-1] == pytest.approx(share_of(material, "ppo", 40, format="llm_code"))
    assert len({(series.color, series.dash) for series in by_step.series}) == 3


def test_every_pair_has_a_row_with_its_differences(material: Material) -> None:
    table = pairs(material.primary[0])
    assert [row[0] for row in table.rows] == ["grpo − random", "grpo − ppo", "random − ppo"]
    assert table.columns[2] == "p, corrected for 3 pairs"
    for greedy, column in ((False, 1), (True, 4)):
        first, second = (
            share_of(material, arm, 40, correct=True, greedy=greedy) for arm in ("grpo", "random")
        )
        assert str(table.rows[0][column]).startswith(f"{100 * (first - second):+.1f} [")
    assert "these two runs differ on these problems" in str(table.rows[0][3])


def test_what_the_section_holds(material: Material, several: Material) -> None:
    blocks = list(arms(material))
    assert [type(block) for block in blocks] == [Figure, Table, Table, Fragment]
    assert "Each arm was trained once" in block_html(blocks[-1])
    assert [type(block) for block in arms(several)] == [Figure, Table]
