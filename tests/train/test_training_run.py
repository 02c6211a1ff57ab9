"""The resumable loop: modules, optimizers, extras and logs come back together."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from echochamber.base import EchoError
from echochamber.train import (
    LossSum,
    NonFiniteError,
    OptimizerConfig,
    TrainingRun,
    make_optimizer,
    optimizer_step,
)
from echochamber.train.logs import MetricsLog, TimingLog, total_seconds
from echochamber.train.training_run import load_optimizer_tensors, optimizer_tensors


class Killed(BaseException):
    """Stands for SIGKILL inside one process: nothing of ours handles it."""


def two_networks_in_a_loop(folder: Path, *, kill_at: int = -1, total: int = 7, every: int = 3) -> TrainingRun:
    """A policy and a critic with an adaptive number and a second log, as RL has them."""
    torch.manual_seed(0)
    networks = {"policy": nn.Linear(3, 2), "critic": nn.Linear(3, 1)}
    config = OptimizerConfig(learning_rate=0.1, max_grad_norm=None)
    optimizers = {name: make_optimizer(network, config) for name, network in networks.items()}
    run = TrainingRun(
        folder,
        total_steps=total,
        modules=networks,
        optimizers=optimizers,
        extras={"coefficient": 1.0},
        checkpoint_every=every,
        logs=("kept.jsonl",),
    )
    with run:
        for step in run.steps():
            data = torch.randn(5, 3, generator=torch.Generator().manual_seed(step))
            row: dict[str, float] = {"step": step + 1}
            for name, network in networks.items():
                stats = optimizer_step(
                    network,
                    optimizers[name],
                    config,
                    [data],
                    lambda x, network=network: LossSum((network(x) ** 2).sum() * run.extras["coefficient"]),
                    number=0,
                    total=1,
                    normalizer=5.0,
                )
                row[name] = stats.loss
            run.log(row)
            run.extras["coefficient"] *= 1.0 + 0.01 * row["policy"]
            if step % 2:
                run.log({"step": step, "coefficient": run.extras["coefficient"]}, "kept.jsonl")
            run.log_timing({"step": step + 1})
            if step == kill_at:
                raise Killed
    return run


def outcome(folder: Path) -> dict[str, bytes]:
    last = folder / "checkpoints" / "step-00000007"
    return {
        p.name: p.read_bytes() for p in (folder / "metrics.jsonl", folder / "kept.jsonl", *last.iterdir())
    }


def test_killed_loops_end_with_the_same_bytes(tmp_path: Path) -> None:
    two_networks_in_a_loop(tmp_path / "whole")
    for kills in ([0], [2], [3], [4, 6], [5, 5]):
        folder = tmp_path / str(kills)
        for kill_at in kills:
            with pytest.raises(Killed):
                two_networks_in_a_loop(folder, kill_at=kill_at)
        two_networks_in_a_loop(folder)
        assert outcome(folder) == outcome(tmp_path / "whole")


def test_a_longer_total_goes_on_from_the_end(tmp_path: Path) -> None:
    two_networks_in_a_loop(tmp_path / "whole")
    two_networks_in_a_loop(tmp_path / "parts", total=4)
    run = two_networks_in_a_loop(tmp_path / "parts")
    assert run.step == 7
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")


def test_optimizer_state_survives_as_named_tensors() -> None:
    model = nn.Linear(3, 2)
    optimizer = make_optimizer(model, OptimizerConfig())
    assert optimizer_tensors(optimizer) == {}
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    tensors = optimizer_tensors(optimizer)
    assert sorted(tensors) == [f"{i}.{n}" for i in (0, 1) for n in ("exp_avg", "exp_avg_sq", "step")]
    other = make_optimizer(nn.Linear(3, 2), OptimizerConfig(learning_rate=0.5))
    load_optimizer_tensors(other, tensors)
    for name, value in optimizer_tensors(other).items():
        assert torch.equal(value, tensors[name])
    assert other.param_groups[0]["lr"] == 0.5
    with pytest.raises(TypeError, match="expected a tensor"):
        odd = torch.optim.SGD(model.parameters())
        odd.state[model.weight]["count"] = 1
        optimizer_tensors(odd)


def test_running_out_of_memory_is_a_sentence(tmp_path: Path) -> None:
    run = TrainingRun(tmp_path, total_steps=1, modules={}, optimizers={})
    with pytest.raises(EchoError, match="out of memory at step 0; use smaller microbatches"), run:
        for _ in run.steps():
            raise torch.OutOfMemoryError


def test_a_non_finite_step_is_located(tmp_path: Path) -> None:
    run = TrainingRun(tmp_path, total_steps=3, modules={}, optimizers={}, checkpoint_every=1)
    with (
        pytest.raises(NonFiniteError, match=r"at step 2; the batch was prompts 4 to 7; .*step-00000002"),
        run,
    ):
        for step in run.steps():
            run.batch = f"prompts {2 * step} to {2 * step + 3}"
            if step == 2:
                raise NonFiniteError("the loss is nan")


def test_a_log_goes_back_to_a_mark(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.append({"a": 1, "b": math.nan, "c": {"d": [math.inf, 2.5]}})
    mark = log.mark()
    assert mark.num_bytes == log.offset
    log.append({"a": 2})
    log.truncate(mark.num_bytes)
    assert log.mark() == mark
    log.close()
    again = MetricsLog(tmp_path / "metrics.jsonl")
    assert again.mark() == mark
    again.append({"text": "naïve"})
    again.close()
    lines = (tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"a": 1, "b": None, "c": {"d": [None, 2.5]}},
        {"text": "naïve"},
    ]
    with pytest.raises(EchoError, match="fewer than"):
        MetricsLog(tmp_path / "metrics.jsonl").truncate(10_000)


def test_timings_add_up_over_restarts(tmp_path: Path) -> None:
    path = tmp_path / "timing.jsonl"
    assert total_seconds(path) == 0.0
    log = TimingLog(path)
    log.append({"step": 1, "seconds": 0.5})
    log.close()
    with path.open("ab") as stream:
        stream.write(b'{"step": 2, "sec')
    log = TimingLog(path)
    log.append({"step": 2, "seconds": 0.25})
    log.close()
    assert total_seconds(path) == 0.75
