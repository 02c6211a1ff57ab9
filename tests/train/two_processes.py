"""Run by torchrun in the tests of parallel training: each job is one `fit`, as JSON on the command line."""

import json
import sys
from pathlib import Path

import torch
from test_pretrain import CountingCorpus, tiny_model

from echochamber.base import EchoError, stopping
from echochamber.train import PretrainConfig, fit, leave_world, pretrain, start_world


def run_job(job: dict[str, object]) -> None:
    """Train; the main process writes `weights.pt` or `error.txt` into the folder."""
    folder = Path(str(job["folder"]))
    world = start_world()
    model = tiny_model()
    original = pretrain._Trainer.step

    def stepping(self: pretrain._Trainer, step: int) -> dict[str, object]:
        row = original(self, step)
        # Only the last process hears the signal; all must stop.
        if step + 1 == job.get("stop_after") and world.rank == world.size - 1:
            stopping._State.requested = "SIGTERM"
        return row

    pretrain._Trainer.step = stepping
    try:
        result = fit(model, CountingCorpus(), PretrainConfig.model_validate(job["config"]), folder, seed=1)
        if world.is_main:
            torch.save({"state": model.state_dict(), "loss": result.loss}, folder / "weights.pt")
    except EchoError as error:
        if world.is_main:
            (folder / "error.txt").write_text(f"{type(error).__name__}: {error}")
    finally:
        pretrain._Trainer.step = original


if __name__ == "__main__":
    torch.set_num_threads(1)
    for job in json.loads(sys.argv[1]):
        run_job(job)
    leave_world(0)
