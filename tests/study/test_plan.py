"""Stages of a plan: their order, what they share, what their keys follow."""

from __future__ import annotations

from pathlib import Path

from echochamber.study import load_study
from echochamber.study.plan import make_plan


def titles(path: Path, *overrides: str) -> list[str]:
    return [stage.title for stage in make_plan(load_study(path, overrides)).stages]


def test_plan_is_in_an_order_in_which_inputs_exist(tiny_file: Path) -> None:
    made: set[str] = set()
    for stage in make_plan(load_study(tiny_file)).stages:
        assert {other.key for other in stage.inputs.values()} <= made
        made.add(stage.key)


def test_seeds_share_the_data(tiny_file: Path) -> None:
    found = titles(tiny_file, "seed=[3, 4]")
    assert found.count("tokenize the mixture even") == 1
    assert [t for t in found if t.startswith("pretrain")] == [
        "pretrain pico on even, seed 3", "pretrain pico on even, seed 4",
    ]  # fmt: skip


def test_sweep_shares_what_it_does_not_change(tiny_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(tiny_file.read_text() + "sweep:\n  arms.grpo.kl_coefficient: [0, 1e-2]\n")
    plan = make_plan(load_study(path))
    assert sum(stage.kind == "pretrain" for stage in plan.stages) == 1
    assert {item.cell.name for item in plan.measured} == {
        "base", "grpo [kl_coefficient=0]", "grpo [kl_coefficient=0.01]",
    }  # fmt: skip


def test_a_sweep_over_the_algorithm_tells_its_points_apart(tiny_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(tiny_file.read_text() + "sweep:\n  arms.grpo.algorithm: [grpo, rloo]\n")
    cells = {item.cell for item in make_plan(load_study(path)).measured if not item.cell.is_base}
    assert {(cell.arm, cell.algorithm, cell.sweep) for cell in cells} == {
        ("grpo", "grpo", "algorithm=grpo"), ("grpo", "rloo", "algorithm=rloo"),
    }  # fmt: skip


def test_a_chain_of_arms(tiny_file: Path, tmp_path: Path) -> None:
    text = tiny_file.read_text()
    block = text[text.index("  grpo:") :].replace("  grpo:", "  more:").rstrip() + "\n    start_from: grpo\n"
    path = tmp_path / "chain.yaml"
    path.write_text(text.replace("arms:\n", "arms:\n" + block))
    plan = make_plan(load_study(path))
    arms = [stage for stage in plan.stages if stage.kind == "arm"]
    assert [stage.title.split()[0] for stage in arms] == ["grpo", "more"]
    assert arms[1].inputs["start"] is arms[0]


def test_keys_follow_what_affects_the_result(tiny_file: Path) -> None:
    def keys(*overrides: str) -> dict[str, str]:
        return {stage.kind: stage.key for stage in make_plan(load_study(tiny_file, overrides)).stages}

    base = keys()
    assert keys() == base
    assert keys("study=other", "description=x") == base
    longer = keys("arms.grpo.steps=3")
    assert longer["pretrain"] == base["pretrain"] and longer["arm"] != base["arm"]
    fresh = keys("seed=4")
    assert all(
        fresh[kind] != base[kind] for kind in base if kind != "check" or fresh["problems"] != base["problems"]
    )
