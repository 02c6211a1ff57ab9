"""What analysis reads from a resolved study, and what it says about a damaged one."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from echochamber.analysis import Run
from echochamber.analysis.recorded import RecordedArm, arm_of, read_points
from echochamber.base import EchoError
from echochamber.evaluation import Cell
from echochamber.study import load_study
from synthetic import make_run

STUDIES = Path(__file__).parents[2] / "studies"


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_study_is_read_as_it_was_resolved(path: Path, tmp_path: Path) -> None:
    points = load_study(path)
    plain = [{**config.model_dump(mode="json"), "sweep": label} for label, config in points]
    file = tmp_path / "study.yaml"
    file.write_text("---\n".join(yaml.safe_dump(one, sort_keys=False) for one in plain))
    for recorded, (label, config) in zip(read_points(file), points, strict=True):
        assert (recorded.sweep, recorded.study, recorded.seeds) == (label, config.study, config.seeds)
        assert recorded.endpoints == config.endpoints
        assert list(recorded.mixtures) == list(config.mixtures)
        for name, arm in config.arms.items():
            found = recorded.arms[name]
            assert (found.algorithm, found.steps) == (arm.algorithm, arm.steps)
            assert found.optimizer is not None
            assert found.optimizer.learning_rate == arm.optimizer.learning_rate
            assert found.reward == getattr(arm, "reward", None)
            assert found.kl_coefficient == getattr(arm, "kl_coefficient", None)


def test_settings_are_what_affects_results() -> None:
    arm = RecordedArm.model_validate(
        {"algorithm": "mine", "checkpoint_every": 5, "optimizer": {"learning_rate": 1.0}, "own": {"a": [1]}}
    )
    assert arm.settings == {"algorithm": "mine", "optimizer.learning_rate": 1.0, "own.a": [1]}
    assert arm.samples_per_step is None and not arm.is_control


def test_an_arm_is_looked_up_at_its_point_of_the_sweep(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", arms=("grpo",), num_points=2, num_problems=3)
    plain = yaml.safe_load((folder / "study.yaml").read_text())
    for kl in (0.0, 0.1):
        arms = {"grpo": {"algorithm": "grpo", "kl_coefficient": kl}}
        text = yaml.safe_dump({**plain, "sweep": f"kl={kl}", "arms": arms})
        with (folder / "both.yaml").open("a") as stream:
            stream.write(f"---\n{text}")
    points = read_points(folder / "both.yaml")
    cell = Cell("grpo", "grpo", "pico", "three", None, "kl=0.1")
    found = arm_of(points, cell)
    assert found is not None and found.kl_coefficient == 0.1
    assert arm_of(points, Cell("base", "base", "pico", "three", None)) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("study: [", "is damaged: while parsing"),
        ("", "is empty"),
        ("- 1\n", "is damaged: the file: Input should be"),
        ("study: a\nseed: x\n", "is damaged: seed"),
    ],
)
def test_a_damaged_study_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    folder = make_run(tmp_path / "run", arms=(), num_points=2, num_problems=3)
    (folder / "study.yaml").write_text(text)
    with pytest.raises(EchoError) as caught:
        _ = Run(folder).study
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert str(caught.value).endswith("Run the study again to write it")


def test_a_missing_study_is_named(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", arms=(), num_points=2, num_problems=3)
    (folder / "study.yaml").unlink()
    with pytest.raises(EchoError, match="is missing"):
        _ = Run(folder).points


def test_records_are_read_without_torch() -> None:
    code = "import sys, echochamber.analysis.recorded; assert 'torch' not in sys.modules, 'torch is loaded'"
    subprocess.run([sys.executable, "-c", code], check=True)
