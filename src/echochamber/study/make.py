"""Make one stage, in this process or as a job in another one."""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from echochamber import train
from echochamber.base import EchoError, InputError, Interrupted, RunLock, explained_disk, stop_signals
from echochamber.base.lazy import torch
from echochamber.study.reading import import_modules, module_digests
from echochamber.study.stages import STAGES, StageContext
from echochamber.study.store import Stage, Store, read_seconds, write_seconds
from echochamber.study.torchrun import joined_by_others

# Prefixes of environment variables that a worker on another machine must share.
_PASSED_ON = ("ECHOCHAMBER_", "HF_", "HUGGINGFACE_")


@dataclass(frozen=True)
class StageEnd:
    """How a stage ended.

    Attributes:
        folder_name: folder name of the stage.
        state: `done`; `failed` for the reason given; `stopped` because it was asked to; `lost` because its
            process died without a message, in which case it may be restarted.
        seconds: compute time over all its runs, if done.
        reason: one sentence.
        users: whether the user can fix it (exit code 2).
        trace: the traceback of an error that is not one of ours.
    """

    folder_name: str
    state: Literal["done", "failed", "stopped", "lost"]
    seconds: float = 0.0
    reason: str = ""
    users: bool = False
    trace: str = ""


def make_stage(stage: Stage, store: Store, *, wait: bool = False) -> StageEnd:
    """Make one stage in this process, unless the store has it, and return how that ended, whatever happened.

    A stage that an interrupted run began continues where it stopped. A stage that refuses the user's input
    leaves nothing behind unless it has saved a checkpoint.

    Args:
        wait: wait for another process that is making the same stage, instead of refusing.
    """
    name = stage.folder_name
    try:
        with (
            explained_disk(store.partial(stage)),
            RunLock(store.lock(stage), what=f"'{stage.title}'", wait=wait),
        ):
            if store.state(stage) != "done":
                new = not store.partial(stage).exists()
                store.begin(stage)
                if not store.complete(stage):
                    with _timed(stage, store, new=new), joined_by_others(stage):
                        run_stage(stage, store)
                store.finish(stage)
            return StageEnd(name, "done", read_seconds(store.path(stage)) or 0.0)
    except Interrupted as error:
        return StageEnd(name, "stopped", reason=str(error))
    except EchoError as error:
        return StageEnd(name, "failed", reason=str(error), users=isinstance(error, InputError))
    except Exception as error:  # noqa: BLE001 - one arm's crash must not stop the others; its trace is kept
        said = str(error).splitlines()
        reason = f"{type(error).__name__}: {said[0]}" if said else type(error).__name__
        return StageEnd(name, "failed", reason=reason, trace=traceback.format_exc())


@contextmanager
def _timed(stage: Stage, store: Store, *, new: bool) -> Iterator[None]:
    """Context of a stage's work: adds its seconds to those of earlier runs, however it ends.

    Args:
        new: no earlier run began it, so a user's mistake found before the first checkpoint leaves nothing.
    """
    folder = store.partial(stage)
    before, start = read_seconds(folder) or 0.0, time.monotonic()
    try:
        yield
    except InputError:
        if new and not (folder / "checkpoints").exists():
            store.discard(stage)
        raise
    finally:
        if folder.is_dir():
            write_seconds(folder, round(before + time.monotonic() - start, 3))


def run_stage(stage: Stage, store: Store) -> None:
    """Call the stage's function in its unfinished folder; under torchrun, in every process that joins."""
    import_modules(stage.modules)
    if stage.modules and module_digests(stage.modules) != stage.config["modules"]:
        raise InputError(
            f"modules: {', '.join(stage.modules)}: changed after the study was planned; run the study again"
        )
    train.give_way_when_busy()
    STAGES[stage.kind].run(
        StageContext(
            config=stage.config,
            inputs={name: store.path(other) for name, other in stage.inputs.items()},
            folder=store.partial(stage),
            seed=stage.seed,
            settings=stage.settings,
        )
    )


@dataclass(frozen=True)
class Job:
    """Everything that another process needs to make a stage exactly as the driver's process would.

    Attributes:
        stage: the stage to make.
        store: absolute folder of the store, on a file system that both processes see.
        threads: number of torch's threads, on which results depend.
        folder: current folder, against which a study's relative paths are resolved.
        stop_flag: file whose appearance asks the stage to save a checkpoint and end.
        environment: environment variables to set before the work.
    """

    stage: Stage
    store: Path
    threads: int
    folder: Path
    stop_flag: Path
    environment: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, stage: Stage, store: Store, stop_flag: Path) -> Job:
        """The job that makes a stage in this process's store, with this process's settings."""
        passed = {name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)}
        threads = torch.get_num_threads()
        return cls(stage, store.folder.absolute(), threads, Path.cwd(), stop_flag.absolute(), passed)


def do_job(job: Job) -> StageEnd:
    """Make the stage of a job in this process, which does no other work."""
    name = job.stage.folder_name
    os.environ.update(job.environment)
    try:
        os.chdir(job.folder)
    except OSError as error:
        reason = f"this worker does not see {job.folder}: {error.strerror}. Workers need a shared file system"
        return StageEnd(name, "failed", reason=reason, users=True)
    torch.set_num_threads(job.threads)
    with stop_signals(also=(signal.SIGUSR2,), flag=job.stop_flag):
        if job.stop_flag.exists():
            return StageEnd(name, "stopped", reason="it was stopped before it began")
        return make_stage(job.stage, Store(job.store), wait=True)
