"""What an arm had spent at its evaluated steps."""

import json
import shutil
from pathlib import Path

import pytest

from echochamber.analysis import (
    Run,
    cost,
    select,
    trajectories,
)
from synthetic import cell_of


def test_cost_leaves_evaluation_out(run: Run, tmp_path: Path) -> None:
    t = next(t for t in select(trajectories(run)) if t.name == "grpo")
    spent = cost(run, t)
    assert spent.samples == tuple(256.0 * step for step in t.steps)
    assert spent.seconds == pytest.approx(tuple(0.9 * step for step in t.steps))
    folder = tmp_path / "timed"
    shutil.copytree(run.folder, folder)
    with (folder / "timing.jsonl").open("a") as stream:
        row = {"stage": "rl", **cell_of("grpo", "pico", "three", 0).columns, "step": 3}
        stream.write(json.dumps({**row, "what": "evaluation", "seconds": 500.0}) + "\n")
    assert cost(Run(folder), t).seconds == spent.seconds
