"""Tables of the last step, cell by cell."""

import pytest
from recorded_run import share_of

from echochamber.analysis import Interval
from echochamber.report.html import block_html
from echochamber.report.material import Material
from echochamber.report.section import Fragment, Table
from echochamber.report.sections.numbers import accuracies, by_format, changes, numbers


def _estimate(value: object) -> float:
    assert isinstance(value, Interval)
    return value.estimate


def test_accuracies(material: Material) -> None:
    table = accuracies(material.run, material.primary[0])
    assert table.columns == ("arm", "step", "pass@1", "greedy", "pass@4", "maj@4", "ties")
    assert [row[:2] for row in table.rows] == [("base", 0), ("grpo", 40), ("random", 40), ("ppo", 40)]
    for row in table.rows:
        arm, step = str(row[0]), int(str(row[1]))
        assert _estimate(row[2]) == pytest.approx(share_of(material, arm, step, correct=True))
        assert _estimate(row[3]) == pytest.approx(share_of(material, arm, step, correct=True, greedy=True))
        assert str(row[-1]).endswith("%")


def test_changes_from_the_base_model(material: Material) -> None:
    table = changes(material.primary[0])
    assert [row[0] for row in table.rows] == ["grpo", "random", "ppo"]
    for greedy, column in ((False, 1), (True, 5)):
        before, after = (
            share_of(material, arm, step, correct=True, greedy=greedy)
            for arm, step in (("base", 0), ("grpo", 40))
        )
        assert str(table.rows[0][column]).startswith(f"{100 * (after - before):+.1f} [")
    assert not str(table.rows[0][4]).startswith("+")


def test_shares_and_accuracy_by_format(material: Material) -> None:
    group = material.primary[0]
    table = by_format(group)
    labels = [str(row[0]) for row in table.rows]
    assert labels[2:4] == ["grpo", '<span class="quiet">grpo, greedy</span>']
    formats = list(group.base.formats)
    assert len(table.columns) == 1 + 2 * len(formats) - 1  # none has no accuracy
    assert all(len(row) == len(table.columns) for row in table.rows)
    column = 1 + 2 * formats.index("llm_code")
    assert "llm_code share" in table.columns[column] and table.columns[column + 1] == "llm_code accuracy"
    for row, greedy in ((table.rows[2], False), (table.rows[3], True)):
        assert _estimate(row[column]) == pytest.approx(
            share_of(material, "grpo", 40, format="llm_code", greedy=greedy)
        )
        assert _estimate(row[column + 1]) == pytest.approx(
            share_of(material, "grpo", 40, correct_in="llm_code", greedy=greedy)
        )


def test_what_the_section_holds(material: Material, several: Material, bare: Material) -> None:
    blocks = list(numbers(material))
    assert [type(block) for block in blocks] == [Fragment, *[Table] * 3 * len(material.groups)]
    assert "over problems only" in block_html(blocks[0])
    assert "over problems and training runs" in block_html(next(iter(numbers(several))))
    assert len(list(numbers(bare))) == 3  # nothing to subtract from
