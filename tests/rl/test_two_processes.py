"""Two gloo processes post-train the policy that one process trains, and take over from each other.

Float64 in the toy world: sampled tokens are the same, so what is left is the order of additions.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from rl_toy import toy_policy, train_toy

from echochamber.rl import ALGORITHMS

HERE = Path(__file__).parent
SHARED = {
    "task": "toy",
    "steps": 3,
    "samples_per_prompt": 3,
    "temperature": 0.8,
    "max_new_tokens": 6,
    "checkpoint_every": 1,
    "reward": "random",
    "optimizer": {"learning_rate": 1e-2, "weight_decay": 0.0},
}
STEPS = {**SHARED, "prompts_per_step": 4, "prompts_per_update": 2}
ARMS: dict[str, dict[str, Any]] = {
    "grpo": {"algorithm": "grpo", **STEPS, "kl_coefficient": 0.1},
    # One update per rollout: the old log-probabilities come from the update itself.
    "on_policy": {"algorithm": "grpo", **STEPS, "prompts_per_update": None, "entropy_bonus": 0.01},
    "dapo": {"algorithm": "dapo", **STEPS, "top_p": 0.9},
    "ppo": {"algorithm": "ppo", **STEPS, "epochs": 2, "kl_coefficient": 0.05},
    "ppo_shared": {"algorithm": "ppo", **STEPS, "critic": "shared", "mask_truncated": True},
    "rloo": {"algorithm": "rloo", **STEPS},
    "reinforce_baseline": {"algorithm": "reinforce_baseline", **STEPS},
    "expert_iteration": {
        "algorithm": "expert_iteration",
        **SHARED,
        "rounds": 3,
        "questions_per_round": 5,
        "batch_size": 4,
    },
}


def torchrun(jobs: list[dict[str, Any]]) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{HERE}:{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, str(HERE / "two_processes.py"), json.dumps(jobs)],
        env={**environment, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-9000:]


def alone(config: dict[str, Any], folder: Path, **more: Any) -> dict[str, torch.Tensor]:
    policy = toy_policy(dtype=torch.float64)
    train_toy(
        ALGORITHMS.get(config["algorithm"]).model_validate(config),
        folder, policy=policy, steps=range(1, 9), **more,
    )  # fmt: skip
    return policy.state_dict()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every arm by two processes; one stopped halfway by two, one by one and finished by two."""
    base = tmp_path_factory.mktemp("parallel-rl")
    alone({**ARMS["ppo"], "steps": 3}, base / "whole")
    folder = base / "one_then_two"
    shutil.copytree(base / "whole", folder)
    for path in folder.glob("checkpoints/step-0000000[23]"):
        shutil.rmtree(path)
    shutil.rmtree(folder / "model")
    torchrun(
        [
            *({"folder": str(base / name), "config": config} for name, config in ARMS.items()),
            {"folder": str(folder), "config": ARMS["ppo"]},
            {"folder": str(base / "two_then_one"), "config": ARMS["ppo"], "stop_after": 2},
            {"folder": str(base / "uneven"), "config": {**ARMS["grpo"], "prompts_per_step": 3}
             | {"prompts_per_update": None}},
        ]
    )  # fmt: skip
    return base


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def assert_same(found: Any, expected: Any, where: str = "") -> None:
    """Equal structure; numbers to 1e-9 of each other."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for name, value in expected.items():
            assert_same(found[name], value, f"{where}.{name}")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-9), where
    else:
        assert found == expected, where


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(ARMS))
def test_two_processes_post_train_as_one(runs: Path, name: str, tmp_path: Path) -> None:
    """Every number of every metrics row, rewards, losses and gradient norms among them, and the weights."""
    weights = alone(ARMS[name], tmp_path)
    expected = rows(tmp_path)
    # The engine's log-probabilities are float32, and a batch of another shape moves them.
    for found, row in zip(rows(runs / name), expected, strict=True):
        for column in ("mismatch", "mismatch_max"):
            if column in row:
                assert abs(found.pop(column) - row.pop(column)) < 1e-6
        assert_same(found, row, name)
    assert any(row.get("grad_norm", 0) > 0 for row in expected)
    final = torch.load(runs / name / "weights.pt")
    for key, value in weights.items():
        torch.testing.assert_close(final[key], value, rtol=0, atol=1e-8)


@pytest.mark.long
def test_one_process_goes_on_where_two_stopped(runs: Path) -> None:
    assert "stopped after 2" in (runs / "two_then_one" / "error.txt").read_text()
    folder = runs / "copy"
    shutil.copytree(runs / "two_then_one", folder)
    assert not (folder / "model").exists()
    assert (folder / "checkpoints" / "step-00000001").exists()
    weights = alone(ARMS["ppo"], folder)
    final = torch.load(runs / "ppo" / "weights.pt")
    for key, value in weights.items():
        torch.testing.assert_close(final[key], value, rtol=0, atol=1e-8)


@pytest.mark.long
def test_two_processes_go_on_where_one_stopped(runs: Path) -> None:
    assert len(rows(runs / "one_then_two")) == 3
    found, final = (torch.load(runs / name / "weights.pt") for name in ("one_then_two", "ppo"))
    for key, value in final.items():
        torch.testing.assert_close(found[key], value, rtol=0, atol=1e-8)


@pytest.mark.long
def test_questions_that_cannot_be_divided_are_refused(runs: Path) -> None:
    error = (runs / "uneven" / "error.txt").read_text()
    assert error.startswith("InputError: prompts_per_step 3 is not divisible by the 2 processes")
