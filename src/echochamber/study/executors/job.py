"""One stage as a piece of work that any process can be handed."""

from __future__ import annotations

import os
import signal
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from echochamber.base import EchoError, InputError, Interrupted, explained_disk, stop_signals
from echochamber.study.executing import execute_stage
from echochamber.study.store import Stage, Store

# Settings of the shell that a worker on another machine must share.
_PASSED_ON = ("ECHOCHAMBER_", "HF_", "HUGGINGFACE_")


@dataclass(frozen=True)
class Outcome:
    """How a stage ended.

    Attributes:
        folder_name: which stage.
        state: `done`; `failed` with a reason of its own; `stopped` because it was asked to; `lost` because
            its process died without a word, and may be started again.
        seconds: compute time over all its runs, when done.
        reason: one sentence.
        users: whether the reason is the user's to mend (exit code 2).
        trace: the traceback of an error that is no sentence of ours.
    """

    folder_name: str
    state: Literal["done", "failed", "stopped", "lost"]
    seconds: float = 0.0
    reason: str = ""
    users: bool = False
    trace: str = ""


@dataclass(frozen=True)
class Job:
    """Everything a process needs to make a stage as the driver itself would.

    Attributes:
        stage: what to make.
        store: absolute folder of the store, on a file system that both processes see.
        threads: threads that torch computes with; results depend on their number.
        folder: current folder, against which a study's relative paths are resolved.
        stop_flag: file whose appearance asks the stage to leave a checkpoint and end.
        environment: variables set before the work.
    """

    stage: Stage
    store: Path
    threads: int
    folder: Path
    stop_flag: Path
    environment: dict[str, str] = field(default_factory=dict)


def make_job(stage: Stage, store: Store, stop_flag: Path) -> Job:
    """The job that makes a stage of this process's store, under this process's settings."""
    import torch

    passed = {name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)}
    return Job(
        stage, store.folder.absolute(), torch.get_num_threads(), Path.cwd(), stop_flag.absolute(), passed
    )


def attempt(stage: Stage, store: Store, *, wait: bool = False) -> Outcome:
    """Make a stage and say how that ended, whatever happened in it."""
    name = stage.folder_name
    try:
        with explained_disk(store.partial(stage)):
            return Outcome(name, "done", execute_stage(stage, store, wait=wait))
    except Interrupted as error:
        return Outcome(name, "stopped", reason=str(error))
    except EchoError as error:
        return Outcome(name, "failed", reason=str(error), users=isinstance(error, InputError))
    except Exception as error:  # noqa: BLE001 - one arm's crash must not end the others; its trace is kept
        said = str(error).splitlines()
        reason = f"{type(error).__name__}: {said[0]}" if said else type(error).__name__
        return Outcome(name, "failed", reason=reason, trace=traceback.format_exc())


def run_job(job: Job) -> Outcome:
    """Make the stage of a job in this process, which does nothing else."""
    import torch

    os.environ.update(job.environment)
    try:
        os.chdir(job.folder)
    except OSError as error:
        reason = f"this worker does not see {job.folder}: {error.strerror}. Workers need a shared file system"
        return Outcome(job.stage.folder_name, "failed", reason=reason, users=True)
    torch.set_num_threads(job.threads)
    with stop_signals(also=(signal.SIGUSR2,), flag=job.stop_flag):
        if job.stop_flag.exists():
            return Outcome(job.stage.folder_name, "stopped", reason="stopped before it began")
        return attempt(job.stage, Store(job.store), wait=True)
