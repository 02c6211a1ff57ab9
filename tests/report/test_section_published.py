"""Scores by the published rules beside ours."""

from echochamber.report.html import block_html
from echochamber.report.material import Material
from echochamber.report.section import Fragment, Table
from echochamber.report.sections.published import published


def test_both_scores_share_one_cell(material: Material) -> None:
    introduction, scores, floor = published(material)
    assert isinstance(introduction, Fragment) and isinstance(scores, Table) and isinstance(floor, Table)
    assert scores.rows == [
        (
            "grpo", 40, 0, "25\u00a0% / <b>12\u00a0%</b>", "50\u00a0% / <b>50\u00a0%</b>",
            "75\u00a0% / <b>75\u00a0%</b>", "llm-code 62\u00a0%, text 38\u00a0%",
            "llm_code 50\u00a0%, boxed 50\u00a0%",
        )
    ]  # fmt: skip
    assert [row[0] for row in floor.rows] == ["nothing at all", "the question again"]
    assert "<b>0.0\u00a0%</b>" in block_html(floor) or "<b>0\u00a0%</b>" in block_html(floor)
