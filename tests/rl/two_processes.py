"""Run by torchrun in the tests of parallel post-training: each job is one `post_train` in the toy world."""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from rl_toy import toy_policy, train_toy

from echochamber.base import EchoError
from echochamber.rl import ALGORITHMS
from echochamber.train import leave_world, start_world


def run_job(job: dict[str, Any]) -> None:
    """Train in float64; the main process writes `weights.pt` or `error.txt` into the folder."""
    folder, world = Path(job["folder"]), start_world()
    policy = toy_policy(dtype=torch.float64)
    config = ALGORITHMS.get(job["config"]["algorithm"]).model_validate(job["config"])

    def stop(step: int, current: Any) -> None:
        if step == job.get("stop_after"):
            raise EchoError(f"stopped after {step}")

    try:
        train_toy(config, folder, policy=policy, steps=range(1, 9), on_step=stop)
        if world.is_main:
            torch.save(policy.state_dict(), folder / "weights.pt")
        same = world.gather({name: value.tolist() for name, value in policy.state_dict().items()})
        assert all(other == same[0] for other in same)
    except EchoError as error:
        if world.is_main:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "error.txt").write_text(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for job in json.loads(sys.argv[1]):
        run_job(job)
    leave_world(0)
