"""pass@1 on every benchmark."""

import pytest
from recorded_run import share_of

from echochamber.report.material import Material
from echochamber.report.sections.transfer import transfer


def test_every_benchmark_is_a_category(material: Material) -> None:
    [figure] = transfer(material)
    sampled, greedy = figure.panels
    assert (sampled.title, greedy.title) == ("pico on three", "pico on three, greedy")
    for panel, decoded in ((sampled, False), (greedy, True)):
        grpo = panel.series[1]
        assert grpo.name == "grpo, step 40" and grpo.x == ("test", "deep")
        assert grpo.y == pytest.approx(
            tuple(share_of(material, "grpo", 40, correct=True, benchmark=b, greedy=decoded) for b in grpo.x)
        )


def test_one_benchmark_has_nothing_to_transfer_to(several: Material) -> None:
    assert list(transfer(several)) == []
