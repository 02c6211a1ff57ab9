"""Shares over RL steps are those of the completions."""

import pytest
from recorded_run import share_of

from echochamber.report.figures import step_position
from echochamber.report.material import Material
from echochamber.report.sections.shares import share_areas, share_lines, shares


def test_areas_and_lines_show_the_counted_shares(material: Material) -> None:
    group = material.primary[0]
    areas, lines = share_areas(group), share_lines(group)
    for figure, kind in ((areas, "area"), (lines, "line")):
        assert [panel.title for panel in figure.panels] == ["grpo", "random", "ppo"]
        for panel in figure.panels:
            assert {series.kind for series in panel.series} == {kind}
            last = panel.series[0].x.index(step_position(40))
            for series in panel.series:
                counted = share_of(material, panel.title, 40, format=series.name)
                assert series.y[last] == pytest.approx(counted)
                assert series.color == group.colors[series.name]
    assert all(s.low and s.high for panel in lines.panels for s in panel.series)
    assert all(
        sum(y) == pytest.approx(1.0) for p in areas.panels for y in zip(*(s.y for s in p.series), strict=True)
    )


def test_two_figures_per_group_that_has_arms(material: Material, bare: Material) -> None:
    assert len(list(shares(material))) == 2 * len(material.groups) == 4
    assert list(shares(bare)) == []
