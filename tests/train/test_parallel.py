"""Two gloo processes on the CPU train the model that one process trains, and take over from each other."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_pretrain import CountingCorpus, tiny_config, tiny_model

from echochamber.base import EchoError, InputError
from echochamber.train import ParallelConfig, World, fit, pretrain
from echochamber.train.hardware import peak_flops
from echochamber.train.parallel import ParallelModel, load_tensors

HERE = Path(__file__).parent


def torchrun(*jobs: dict[str, object]) -> None:
    """Do jobs in two processes, one after another."""
    paths = f"{HERE}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, str(HERE / "two_processes.py"), json.dumps(jobs)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def job(folder: Path, *, stop_after: int | None = None, **changes: object) -> dict[str, object]:
    folder.mkdir(parents=True, exist_ok=True)
    config = tiny_config(**changes).model_dump(mode="json")
    return {"folder": str(folder), "config": config, "stop_after": stop_after}


def rows(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def assert_same_course(found: Path, expected: Path) -> None:
    """Losses, gradient norms and held-out losses within float32 round-off over 12 steps."""
    assert len(rows(found)) == len(rows(expected)) == 13
    for a, b in zip(rows(found), rows(expected), strict=True):
        assert a.keys() == b.keys()
        for name in ("loss", "grad_norm", "learning_rate"):
            if name in b:
                assert a[name] == pytest.approx(b[name], rel=2e-5), (name, b["step"])
        for source, loss in b.get("heldout", {}).items():
            assert a["heldout"][source] == pytest.approx(loss, rel=2e-5)


FSDP = {"strategy": "fsdp", "activation_checkpointing": True}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs by one process, by two, and stopped halfway by two."""
    base = tmp_path_factory.mktemp("parallel")
    fit(tiny_model(), CountingCorpus(), tiny_config(), base / "one", seed=1)
    halved = tiny_config(parallel=FSDP)
    with pytest.MonkeyPatch.context() as patch:
        stop_this_process(patch, 7)
        with pytest.raises(EchoError, match="stopped after step 7"):
            fit(tiny_model(), CountingCorpus(), halved, base / "one_then_two", seed=1)
    torchrun(
        job(base / "ddp", microbatch_size=1),
        job(base / "fsdp", microbatch_size=1, parallel=FSDP),
        job(base / "two_then_one", stop_after=7, parallel=FSDP),
        job(base / "one_then_two", parallel=FSDP),
        job(base / "uneven", batch_size=5),
    )
    return base


def stop_this_process(patch: pytest.MonkeyPatch, after: int) -> None:
    from echochamber.base import stopping

    original = pretrain._Trainer.step

    def stepping(self: object, step: int) -> dict[str, object]:
        row = original(self, step)
        if step + 1 == after:
            stopping._State.requested = "SIGTERM"
        return row

    patch.setattr(pretrain._Trainer, "step", stepping)


@pytest.mark.long
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_train_as_one(runs: Path, strategy: str) -> None:
    assert_same_course(runs / strategy, runs / "one")
    final = torch.load(runs / strategy / "weights.pt")["state"]
    reference = tiny_model()
    fit(reference, CountingCorpus(), tiny_config(), runs / "one", seed=1)
    for name, expected in reference.state_dict().items():
        torch.testing.assert_close(final[name], expected, rtol=0, atol=1e-4)


@pytest.mark.long
def test_a_checkpoint_of_two_processes_resumes_on_one(runs: Path) -> None:
    """Both ways; the copy keeps the fixture as it is."""
    error = (runs / "two_then_one" / "error.txt").read_text()
    assert "another process was asked to end: stopped after step 7 of 12" in error
    folder = runs / "copy"
    shutil.copytree(runs / "two_then_one", folder)
    fit(tiny_model(seed=9), CountingCorpus(), tiny_config(parallel=FSDP), folder, seed=1)
    assert_same_course(folder, runs / "one")


@pytest.mark.long
def test_a_checkpoint_of_one_process_resumes_on_two(runs: Path) -> None:
    assert_same_course(runs / "one_then_two", runs / "one")


@pytest.mark.long
def test_a_batch_that_cannot_be_divided_is_refused(runs: Path) -> None:
    error = (runs / "uneven" / "error.txt").read_text()
    assert error.startswith("InputError: pretrain.batch_size 5 is not divisible by the 2 processes")


def test_activation_checkpointing_changes_nothing(tmp_path: Path) -> None:
    fit(tiny_model(), CountingCorpus(), tiny_config(), tmp_path / "plain", seed=1)
    model = tiny_model()
    config = tiny_config(parallel=ParallelConfig(activation_checkpointing=True))
    fit(model, CountingCorpus(), config, tmp_path / "again", seed=1)
    assert (tmp_path / "plain" / "metrics.jsonl").read_bytes() == (
        tmp_path / "again" / "metrics.jsonl"
    ).read_bytes()
    assert all("forward" not in vars(block) for block in model.blocks)


@pytest.mark.long
@pytest.mark.skipif(
    not os.environ.get("ECHOCHAMBER_SOAK") or shutil.which("g++") is None,
    reason="compiling takes minutes; set ECHOCHAMBER_SOAK=1, with a C++ compiler at hand",
)
def test_a_compiled_model_trains_the_same(tmp_path: Path) -> None:
    fit(tiny_model(), CountingCorpus(), tiny_config(), tmp_path / "plain", seed=1)
    config = tiny_config(parallel=ParallelConfig(compile=True))
    fit(tiny_model(), CountingCorpus(), config, tmp_path / "compiled", seed=1)
    assert_same_course(tmp_path / "compiled", tmp_path / "plain")


def test_running_out_of_memory_names_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*args: object, **kwargs: object) -> object:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(pretrain, "optimizer_step", exhausted)
    with pytest.raises(
        EchoError, match=r"out of memory at step 0; set pretrain.microbatch_size to 2 \(now 4"
    ):
        fit(tiny_model(), CountingCorpus(), tiny_config(), tmp_path, seed=1)


def test_alone_the_model_is_used_as_it_is() -> None:
    model = tiny_model()
    alone = ParallelModel(model, pretrain.next_token_loss, ParallelConfig(), World())
    assert alone.trained is model
    assert alone.gradient_scale == 1.0


def test_compiling_without_a_compiler_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(InputError, match="no C\\+\\+ compiler"):
        ParallelModel(tiny_model(), pretrain.next_token_loss, ParallelConfig(compile=True), World())


def test_tensors_of_another_model_are_refused() -> None:
    model = tiny_model()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    load_tensors(model, state)
    name = next(iter(state))
    with pytest.raises(EchoError, match="another model"):
        load_tensors(model, {**state, name: state[name][:1]})


def test_no_peak_is_claimed_for_a_cpu() -> None:
    assert peak_flops(torch.device("cpu"), bfloat16=True) is None
