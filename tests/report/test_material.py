"""Groups of trajectories, and the numbers at their last step."""

from pathlib import Path

import pytest
from recorded_run import share_of

from echochamber.analysis import Run
from echochamber.report.material import Material, final_metrics
from echochamber.report.palette import INK
from synthetic import make_run


def test_groups_share_a_base_model_and_a_benchmark(tmp_path: Path) -> None:
    run = make_run(
        tmp_path / "grid", arms=("grpo", "random"), sizes=("pico", "nano"), benchmarks=("zeta", "alpha"),
        num_points=2, num_problems=5,
    )  # fmt: skip
    material = Material(Run(run))
    assert {group.title for group in material.groups} == {
        f"{size} on three, {benchmark}" for size in ("pico", "nano") for benchmark in ("zeta", "alpha")
    }
    # The study's first benchmark leads, whatever the alphabet says.
    assert [group.title for group in material.primary] == ["pico on three, zeta", "nano on three, zeta"]
    for group in material.groups:
        assert group.members[0] is group.base and group.base.is_base
        assert [t.name for t in group.arms] == ["grpo", "random"]
        assert set(group.greedy) == {t.model for t in group.members}
        assert all(
            twin.greedy and not t.greedy for t, twin in zip(group.members, group.greedy.values(), strict=True)
        )
        assert group.styles[group.base.model][0] == INK
        assert group.slug == f"{group.size}-three-{group.benchmark}"


def test_what_a_run_has_in_general(material: Material, several: Material, bare: Material) -> None:
    assert (material.num_seeds, several.num_seeds, bare.num_seeds) == (1, 3, 1)
    assert set(material.formats) == {"tinygsm", "llm_code", "boxed", "none"}
    assert [group.arms for group in bare.groups] == [()]


def test_metrics_of_the_last_step(material: Material) -> None:
    group = material.primary[0]
    found = final_metrics(material.run, group.arms[0])
    assert list(found) == ["pass@1", "pass@4", "maj@4"]
    assert found["pass@1"].estimate == pytest.approx(share_of(material, "grpo", 40, correct=True))
    assert found["pass@1"].estimate <= found["pass@4"].estimate
