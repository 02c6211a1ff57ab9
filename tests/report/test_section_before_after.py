"""Bars before and after RL."""

import pytest
from recorded_run import share_of

from echochamber.report.material import Material
from echochamber.report.sections.before_after import before_after, final_bars


def test_bars_show_base_and_last_step(material: Material) -> None:
    solved, shares, within = final_bars(material.run, material.primary[0]).panels
    names = ["base", "grpo, step 40", "random, step 40", "ppo, step 40"]
    for panel in (solved, shares, within):
        assert [series.name for series in panel.series] == names
    for i, (arm, step) in enumerate((("base", 0), ("grpo", 40), ("random", 40), ("ppo", 40))):
        by_metric = dict(zip(solved.series[i].x, solved.series[i].y, strict=True))
        assert by_metric["pass@1"] == pytest.approx(share_of(material, arm, step, correct=True))
        assert by_metric["greedy"] == pytest.approx(share_of(material, arm, step, correct=True, greedy=True))
        for f, name in enumerate(shares.series[i].x):
            assert shares.series[i].y[f] == pytest.approx(share_of(material, arm, step, format=str(name)))
    assert within.series[1].y[within.series[1].x.index("boxed")] is None  # too few to speak of


def test_a_base_model_alone_has_its_bars(bare: Material) -> None:
    [figure] = before_after(bare)
    assert [series.name for series in figure.panels[0].series] == ["base"]
