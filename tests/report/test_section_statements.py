"""Statements and what the run says about them."""

from echochamber.analysis import Finding
from echochamber.report.html import block_html
from echochamber.report.material import Material
from echochamber.report.sections.statements import findings_by_source, statements


def test_statements_are_grouped_by_their_source() -> None:
    def finding(key: str, source: str, evidence: str) -> Finding:
        return Finding(key, key, source, "nothing", "not testable", evidence, "seeds")

    theirs, ours, lacking = (
        finding("one", "Zhao et al.", "in this run"), finding("two", "this project", "in this run"),
        finding("three", "Zhao et al.", ""),
    )  # fmt: skip
    assert findings_by_source([theirs, ours, lacking]) == [
        {"title": "Statements of Zhao et al.", "tested": [theirs], "untested": [lacking]},
        {"title": "Statements of this project", "tested": [ours], "untested": []},
    ]


def test_one_seed_is_named_and_every_statement_has_its_place(material: Material, several: Material) -> None:
    [one], [more] = statements(material), statements(several)
    assert "the numbers are those of this run" in block_html(one)
    text = block_html(more)
    assert "the numbers are those of this run" not in text
    assert "Statements of Zhao et al." in text and "Not testable here, because the run lacks:" in text
