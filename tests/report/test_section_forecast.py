"""Forecasts beside what was measured."""

import re

import pytest
from recorded_run import share_of

from echochamber.analysis import Forecast
from echochamber.report.html import block_html
from echochamber.report.material import Material
from echochamber.report.section import Table
from echochamber.report.sections.forecast import Theory, expected_and_measured, label


def test_expected_and_measured_shares(material: Material) -> None:
    [panel] = Theory(material.run, material.primary[0]).figure().panels
    bars = {series.name: series for series in panel.series}
    assert next(iter(bars)) == "base model" and "expected: policy gradient" in bars
    assert "measured: random" not in bars  # nobody forecasts what random rewards do
    for name, arm, step in (
        ("base model", "base", 0),
        ("measured: grpo", "grpo", 40),
        ("measured: ppo", "ppo", 40),
    ):
        counted = [share_of(material, arm, step, format=format) for format in bars[name].x]
        assert bars[name].y == pytest.approx(tuple(counted))
    for series in panel.series:
        if series.name.startswith("expected"):
            assert sum(y or 0.0 for y in series.y) == pytest.approx(1.0)


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_table_says_who_was_right(seeds: int, material: Material, several: Material) -> None:
    of = material if seeds == 1 else several
    table = Theory(of.run, of.primary[0]).table()
    assert table.columns[2] == "grpo → llm_code"
    rows = {str(row[0]): row for row in table.rows}
    assert rows["nothing changes"][1] == ""
    for name, row in rows.items():
        if name != "nothing changes":
            right = str(row[1]).removesuffix(" (open)") == "llm_code"
            mark = re.fullmatch(r'<span class="outcome (\w+)">(.)</span> .*', str(row[2]))
            assert mark is not None
            assert mark[2] == ("✓" if right else "✗")
            assert mark[1] == ("run" if seeds == 1 else "right" if right else "wrong")


def test_without_rewarded_arms_nothing_is_drawn(material: Material, bare: Material) -> None:
    assert list(expected_and_measured(bare)) == []
    blocks = list(expected_and_measured(material))
    assert isinstance(blocks[1], Table) and "With one seed, the winner" in block_html(blocks[-1])


@pytest.mark.parametrize(
    ("beta", "words"), [(None, "tilt"), (0.0, "tilt, beta → 0"), (0.05, "tilt, beta 0.05")]
)
def test_a_forecast_is_named_with_its_beta(beta: float | None, words: str, material: Material) -> None:
    from dataclasses import replace

    some: Forecast = Theory(material.run, material.primary[0]).forecasts[0]
    assert label(replace(some, theory="tilt", beta=beta)) == words
