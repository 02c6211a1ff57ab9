"""Teacher-forced probabilities beside sampled shares."""

import pytest
from recorded_run import share_of

from echochamber.report.figures import Figure, step_position
from echochamber.report.html import block_html
from echochamber.report.material import Material
from echochamber.report.section import Fragment, Table
from echochamber.report.sections.probabilities import openings, probabilities, whole_solutions


def test_openings_are_drawn_beside_the_sampled_share(material: Material) -> None:
    [figure] = openings(material.run, material.primary[0])
    [panel] = figure.panels
    forced, sampled = panel.series
    assert forced.name == "tinygsm: probability of its opening"
    assert forced.x == (0.0, step_position(40)) and forced.y == (0.25, 0.5)
    assert sampled.dash == "dot" and sampled.color == forced.color
    assert sampled.y[-1] == pytest.approx(share_of(material, "grpo", 40, format="tinygsm"))


def test_the_table_has_base_and_last_step(material: Material) -> None:
    table = whole_solutions(material.run)
    assert [row[:3] for row in table.rows] == [
        ("base", 0, "tinygsm"), ("base", 0, "boxed"), ("grpo", 40, "tinygsm"), ("grpo", 40, "boxed"),
    ]  # fmt: skip
    assert table.rows[2][3:] == ("<code>def simple</code>", "50\u00a0%", "-0.457", "12\u00a0%", 16)
    assert table.rows[3][3:5] == ("<code>–</code>", None)  # prose has no opening
    assert "nats per token" in table.columns and table.summary


def test_what_the_section_holds(material: Material, bare: Material) -> None:
    blocks = list(probabilities(material))
    assert [type(block) for block in blocks] == [Figure, Fragment, Table]
    assert "without any sampling" in block_html(blocks[1])
    assert list(probabilities(bare)) == []
