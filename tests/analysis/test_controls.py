"""Which rewarded arm a control is compared with, and what is said if none was trained like it."""

import json
from pathlib import Path
from typing import Any

import yaml

from echochamber.analysis import Run, controls
from echochamber.study import load_study
from synthetic import make_run

STUDIES = Path(__file__).parents[2] / "studies"


def changed(folder: Path, **arms: dict[str, Any]) -> Run:
    """The run with some settings of its arms overwritten."""
    study = yaml.safe_load((folder / "study.yaml").read_text())
    for name, settings in arms.items():
        study["arms"][name] |= settings
    (folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    return Run(folder)


def test_a_control_that_differs_in_nothing_but_the_reward_is_a_twin(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", arms=("ppo", "grpo", "random"), num_points=2, num_problems=3)
    (control,) = controls(Run(folder))
    assert control.matched
    assert control.nearest is not None
    assert (control.cell.arm, control.nearest.arm) == ("random", "grpo")
    assert "is the twin of grpo" in control.sentence()


def test_settings_that_only_affect_memory_are_no_difference(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", arms=("grpo", "random"), num_points=2, num_problems=3)
    (control,) = controls(changed(folder, random={"checkpoint_every": 7, "microbatch_tokens": 64}))
    assert control.matched


def test_every_difference_is_named_with_both_values(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", arms=("grpo", "random"), num_points=2, num_problems=3)
    run = changed(
        folder,
        grpo={"steps": 100, "optimizer": {"learning_rate": 6e-4, "beta2": 0.95}, "kl_coefficient": 0.0},
        random={"steps": 40, "optimizer": {"learning_rate": 1e-4, "beta2": 0.95}, "kl_coefficient": 0.1},
    )
    (control,) = controls(run)
    assert not control.matched
    assert set(control.differences) == {
        ("steps", 40, 100), ("learning rate", 1e-4, 6e-4), ("KL coefficient", 0.1, 0.0),
    }  # fmt: skip
    sentence = control.sentence()
    assert "has no twin" in sentence
    for words in (
        "steps 40 instead of 100",
        "learning rate 0.0001 instead of 0.0006",
        "KL coefficient 0.1 instead of 0",
    ):
        assert words in sentence


def test_a_control_without_a_rewarded_arm_says_so(tmp_path: Path) -> None:
    (control,) = controls(Run(make_run(tmp_path / "run", arms=("random",), num_points=2, num_problems=3)))
    assert control.nearest is None
    assert "has no counterpart" in control.sentence()


def test_every_control_of_the_shipped_studies_has_a_twin(tmp_path: Path) -> None:
    for path in sorted(STUDIES.glob("*.yaml")):
        for _, config in load_study(path):
            arms = config.model_dump(mode="json")["arms"]
            if not any(arm.get("reward") in ("random", "always_one") for arm in arms.values()):
                continue
            folder = make_run(tmp_path / path.stem, arms=(), num_points=2, num_problems=3)
            study = yaml.safe_load((folder / "study.yaml").read_text())
            (folder / "study.yaml").write_text(yaml.safe_dump({**study, "arms": arms}))
            summary = json.loads((folder / "summary.json").read_text())
            cells = [{"arm": name, "algorithm": arm["algorithm"]} for name, arm in arms.items()]
            summary["rows"] += [{**summary["rows"][0], **cell} for cell in cells]
            (folder / "summary.json").write_text(json.dumps(summary))
            assert all(control.matched for control in controls(Run(folder))), path.name
            break
