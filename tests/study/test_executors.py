"""The same study in this process, on a Ray cluster and as submitit jobs: same bytes, whatever fails."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tiny_study import TINY

from echochamber.base import EchoError, InputError, Interrupted, listening
from echochamber.study import ExecutorOptions, Study, open_study, run_study, status_rows
from echochamber.study.executors import make_executor

pytestmark = pytest.mark.long

# Behaves as files beside it ask: the test's way to reach into a worker.
REWARDS = """
import os, signal, time
from pathlib import Path
from echochamber.rl import register_reward

HERE = Path(__file__).parent
calls = []

def watched(graded):
    calls.append(1)
    if len(calls) % 3 == 2 and (HERE / "kill").exists():
        (HERE / "kill").unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    if (HERE / "slow").exists():
        time.sleep(0.5)
    return [item.verdict.reward + item.draw for item in graded]

def broken(graded):
    raise ZeroDivisionError("a mistake in a reward")

register_reward("watched", watched)
register_reward("broken", broken)
"""
ARM = """
  {name}:
    algorithm: grpo
    task: train
    steps: 3
    checkpoint_every: 1
    prompts_per_step: 4
    prompts_per_update: null
    samples_per_prompt: 4
    max_new_tokens: 12
    kl_coefficient: 0
    reward: {reward}
"""
CLOCKS = ("timing.jsonl", "seconds.json")

OPTIONS = {
    "ray": ExecutorOptions("ray"),
    "slurm": ExecutorOptions("slurm", slurm_cluster="local"),
}


@pytest.fixture(scope="module")
def study_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("executors")
    (folder / "rewards.py").write_text(REWARDS)
    text = TINY.partition("arms:")[0].replace("num_points: 3", "num_points: 2")
    arms = ARM.format(name="broken", reward="broken") + ARM.format(name="grpo", reward="watched")
    path = folder / "tiny.yaml"
    path.write_text(f"{text}modules: [rewards.py]\nresources: {{default: {{cpus: 1}}}}\narms:{arms}")
    return path


@pytest.fixture(scope="module")
def local(study_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = open_study(study_file, runs=tmp_path_factory.mktemp("runs"))
    with pytest.raises(EchoError, match="a mistake in a reward") as failure:
        run_study(study)
    assert failure.value.exit_code == 1
    return study


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[None]:
    ray = pytest.importorskip("ray")
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=80 * 2**20, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.fixture(params=["ray", "slurm"])
def options(request: pytest.FixtureRequest) -> ExecutorOptions:
    if request.param == "ray":
        request.getfixturevalue("ray_cluster")
    else:
        pytest.importorskip("submitit")
    return OPTIONS[request.param]


@pytest.fixture
def without_arms(local: Study, study_file: Path, tmp_path: Path) -> Study:
    """The study with everything made but its arms."""
    shutil.copytree(local.folder, tmp_path / "tiny", ignore=shutil.ignore_patterns("arm-*", "failed"))
    return open_study(study_file, runs=tmp_path)


def content(study: Study) -> dict[str, bytes]:
    """Every file of the finished arm and of everything it depends on, except clock files."""
    folders = [study.store.path(stage) for stage in study.plan.stages if not stage.title.startswith("broken")]
    found = {
        str(path.relative_to(study.store.folder)): path.read_bytes()
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in CLOCKS
    }
    assert {"metrics.jsonl", "model.safetensors", "manifest.json"} <= {Path(name).name for name in found}
    return found


def arm_state(study: Study) -> dict[str, tuple[str, str]]:
    return {row["stage"].split()[0]: (row["state"], row["note"]) for row in status_rows(study)[-2:]}


def when(condition: Callable[[], bool], act: Callable[[], object]) -> threading.Thread:
    """Act from a thread as soon as the condition holds."""

    def watch() -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if condition():
                act()
                return
            time.sleep(0.02)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def test_a_failing_arm_leaves_the_others_done_and_is_shown(local: Study) -> None:
    states = arm_state(local)
    assert states["grpo"] == ("done", "")
    assert states["broken"][0] == "failed"
    assert states["broken"][1].startswith("ZeroDivisionError: a mistake in a reward (traceback in ")
    record = json.loads(Path(states["broken"][1].partition("traceback in ")[2][:-1]).read_text())
    assert record["traceback"][-1] == "ZeroDivisionError: a mistake in a reward"
    # What the other arms gave is shown, the failed one is simply absent.
    arms = {row["arm"] for row in json.loads((local.folder / "summary.json").read_text())["rows"]}
    assert arms == {"base", "grpo"}
    assert (local.folder / "report.html").is_file()


@pytest.mark.long
def test_other_executors_give_the_same_bytes(
    local: Study, without_arms: Study, options: ExecutorOptions
) -> None:
    lines: list[str] = []
    with (
        listening(lines.append),
        pytest.raises(EchoError, match="'broken pico on even, seed 3' failed: ZeroDivisionError: a mistake"),
    ):
        run_study(without_arms, executor=options)
    assert sum(line.endswith("...") for line in lines) == 2
    assert arm_state(without_arms)["broken"][0] == "failed"
    assert content(without_arms) == content(local)


@pytest.mark.long
def test_a_killed_worker_is_restarted(
    local: Study, without_arms: Study, study_file: Path, options: ExecutorOptions
) -> None:
    (study_file.parent / "kill").touch()
    lines: list[str] = []
    with pytest.raises(EchoError, match="a mistake in a reward"), listening(lines.append):
        run_study(without_arms, executor=options)
    assert not (study_file.parent / "kill").exists()
    assert any("restarting it from where it stopped" in line for line in lines), lines
    assert content(without_arms) == content(local)


@pytest.mark.long
def test_ctrl_c_stops_the_workers_and_the_next_run_continues(
    local: Study, without_arms: Study, study_file: Path, options: ExecutorOptions
) -> None:
    slow = study_file.parent / "slow"
    slow.touch()
    arm = without_arms.plan.stages[-1]
    checkpoints = without_arms.store.partial(arm) / "checkpoints"
    try:
        watcher = when(lambda: any(checkpoints.glob("step-*")), lambda: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(Interrupted, match="stopped"):
            run_study(without_arms, executor=options)
        watcher.join()
    finally:
        slow.unlink()
    assert without_arms.store.state(arm) == "started"
    assert not without_arms.store.lock(arm).exists()
    assert not (without_arms.folder / "stop").exists()
    with pytest.raises(EchoError, match="a mistake in a reward"):
        run_study(without_arms)
    assert content(without_arms) == content(local)


@pytest.mark.long
def test_a_preempted_slurm_job_is_requeued_and_continues(
    local: Study, without_arms: Study, study_file: Path
) -> None:
    pytest.importorskip("submitit")
    slow = study_file.parent / "slow"
    slow.touch()
    arm = without_arms.plan.stages[-1]
    checkpoints = without_arms.store.partial(arm) / "checkpoints"

    def preempt() -> None:
        os.kill(json.loads(without_arms.store.lock(arm).read_text())["pid"], signal.SIGUSR2)
        slow.unlink()

    watcher = when(lambda: any(checkpoints.glob("step-*")), preempt)
    with pytest.raises(EchoError, match="a mistake in a reward"):
        run_study(without_arms, executor=OPTIONS["slurm"])
    watcher.join()
    said = "".join(path.read_text() for path in (without_arms.folder / "slurm").glob("*_log.*"))
    assert "SIGUSR2: finishing this step first" in said
    assert "Requeued job" in said
    assert "continuing after step" in said
    assert content(without_arms) == content(local)


def test_slurm_gets_what_the_study_asks_for_and_ready_stages_as_one_array(
    local: Study, study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an `sbatch` that only records what it is given."""
    pytest.importorskip("submitit")
    for name, does in (
        ("srun", "true"),
        ("sbatch", f'cp "$1" {tmp_path}/script.sh; echo "Submitted batch job 17"'),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    changes = [
        "slurm={partition: gpu, account: me, minutes: 90, array_parallelism: 1, signal_delay_seconds: 60, "
        "setup: [module load cuda], additional: {reservation: week2}}",
        "resources={default: {cpus: 1}, arm: {cpus: 6, gpus: 2, memory_gb: 40}}",
    ]
    study = open_study(study_file, changes, tmp_path / "runs")
    executor = make_executor(
        ExecutorOptions("slurm"), study.store, study.folder, study.config.resources, study.config.slurm
    )
    executor.start([stage for stage in study.plan.stages if stage.kind == "arm"])
    script = (tmp_path / "script.sh").read_text().splitlines()
    wanted = {
        "partition=gpu", "account=me", "time=90", "array=0-1%1", "cpus-per-task=6", "gpus-per-node=2",
        "mem=40GB", "signal=USR2@60", "reservation=week2",
    }  # fmt: skip
    assert {f"#SBATCH --{option}" for option in wanted} <= set(script)
    assert "module load cuda" in script


def test_what_only_a_failed_stage_would_use_is_not_made(study_file: Path, tmp_path: Path) -> None:
    """Prompts that do not fit the context are found before anything is tokenized or trained."""
    lines: list[str] = []
    study = open_study(study_file, ["evaluation.max_new_tokens=90"], tmp_path / "runs")
    with (
        listening(lines.append),
        pytest.raises(InputError, match=r"exceeds the model's context of 96.*stages that need it were not"),
    ):
        run_study(study)
    assert not any("tokenize the" in line or "pretrain" in line for line in lines)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "package"), [("ray", "ray"), ("slurm", "submitit")])
def test_a_missing_extra_is_one_sentence(
    study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n, *a: None if n == package else found(n, *a))
    with pytest.raises(InputError, match=rf"pip install 'echochamber\[{name}\]'"):
        run_study(open_study(study_file, runs=tmp_path / "runs"), executor=OPTIONS[name])
    assert not list(tmp_path.iterdir())


def test_mistakes_in_the_choice_are_sentences(study_file: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown executor 'slrum'.*Did you mean 'slurm'"):
        ExecutorOptions("slrum")
    with pytest.raises(InputError, match="--slurm-cluster cloud: expected slurm or local"):
        ExecutorOptions("slurm", slurm_cluster="cloud")
    study = open_study(study_file, ["resources={pretrian: {gpus: 1}}"], tmp_path)
    with pytest.raises(InputError, match=r"resources.pretrian: .*Did you mean 'pretrain'"):
        run_study(study)
    if shutil.which("srun") is None and importlib.util.find_spec("submitit"):
        with pytest.raises(InputError, match="no Slurm on this machine"):
            run_study(open_study(study_file, runs=tmp_path), executor=ExecutorOptions("slurm"))


def test_where_a_study_runs_changes_no_key(study_file: Path, tmp_path: Path) -> None:
    changes = ["resources.arm={gpus: 1, memory_gb: 40}", "slurm.partition=gpu", "pretrain.checkpoint_every=7"]
    plain, changed = (open_study(study_file, given, tmp_path) for given in ([], changes))
    assert [s.key for s in plain.plan.stages] == [s.key for s in changed.plan.stages]
