"""A whole study by two gloo processes, through the command line as a person would start it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from echochamber.base import InputError, read_json
from echochamber.study import Study
from echochamber.study.torchrun import check_arm
from echochamber.train import World

pytestmark = pytest.mark.long


def torchrun(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [*command, "-m", "echochamber", "run", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=900,
    )


def test_two_processes_run_a_study(finished: Study, tiny_file: Path, tmp_path: Path) -> None:
    """The same folder as one process leaves, the same questions, answers that rounding may change."""
    done = torchrun(str(tiny_file), folder=tmp_path)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    folder = tmp_path / "runs" / "tiny"
    files = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert files == {str(p.relative_to(finished.folder)) for p in finished.folder.rglob("*") if p.is_file()}
    for title in ("pretrain pico on even, seed 3: done", "grpo pico on even, seed 3: done", "report:"):
        assert done.stdout.count(title) == 1
    pretrained = next(folder.glob("store/pretrain-*"))
    other = next(finished.folder.glob("store/pretrain-*"))
    for found, expected in zip(rows(pretrained), rows(other), strict=True):
        if "loss" in expected:
            assert found["loss"] == pytest.approx(expected["loss"], rel=1e-3)
    assert read_json(pretrained / "manifest.json")["environment"]["processes"] == 2
    again = torchrun(str(tiny_file), folder=tmp_path)
    assert again.returncode == 0, again.stderr[-4000:]
    assert again.stdout.count("in the store") == len(finished.plan.stages)


def rows(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("pretrain.batch_size=5", "pretrain.batch_size 5 is not divisible by the 2 processes"),
        # Found by the main process alone, in a stage that the others wait for.
        ("model.context_length=32", "exceeds the model's context of 32"),
    ],
)
def test_one_sentence_ends_all_processes(
    tiny_file: Path, tmp_path: Path, override: str, sentence: str
) -> None:
    done = torchrun(str(tiny_file), "--set", override, folder=tmp_path)
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(said) == 1, done.stderr[-4000:]
    assert sentence in said[0]


def test_every_batch_of_an_arm_must_be_divisible(finished: Study) -> None:
    arm = finished.config.arms["grpo"]
    check_arm(arm, World(0, 2), "arms.grpo.")
    with pytest.raises(InputError, match="arms.grpo.prompts_per_step 4 is not divisible by the 3 processes"):
        check_arm(arm, World(0, 3), "arms.grpo.")
    with pytest.raises(InputError, match="prompts_per_update 1 is not divisible by the 2"):
        check_arm(arm.model_copy(update={"prompts_per_update": 1}), World(0, 2))


def test_a_process_that_fails_alone_ends_the_others(tiny_file: Path, tmp_path: Path) -> None:
    """Otherwise the first process would wait for the second forever."""
    broken = tmp_path / "broken.py"
    broken.write_text(
        "import os\n"
        "from echochamber.base import EchoError\n"
        "from echochamber.rl import rollouts\n"
        "from echochamber.study import torchrun\n"
        "torchrun.PATIENCE_SECONDS = 2.0\n"
        "original = rollouts.grade\n"
        "def grade(*arguments, **more):\n"
        "    if os.environ['RANK'] == '1':\n"
        "        raise EchoError('the grader of this process has died')\n"
        "    return original(*arguments, **more)\n"
        "rollouts.grade = grade\n"
    )
    study = tmp_path / "broken.yaml"
    study.write_text(tiny_file.read_text() + "modules: [broken.py]\n")
    done = torchrun(str(study), folder=tmp_path)
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert said == ["error: the grader of this process has died"], done.stderr[-4000:]
    assert "[rank0]: Traceback" not in done.stderr
