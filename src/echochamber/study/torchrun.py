"""A study under torchrun: the main process decides and writes, the others join the stages they can share.

The main process goes through the plan as it would alone. Before a shared stage it sends the stage's key to
the other processes, which only wait for such keys; then all of them run the stage together. The main process
runs every other stage alone.
"""

from __future__ import annotations

import itertools
import math
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from echochamber import rl, train
from echochamber.base import EchoError, InputError, say_error, stop_signals
from echochamber.study.config import StudyConfig
from echochamber.study.store import Stage

SHARED = ("pretrain", "arm")
# How long a process that failed in a shared stage waits for the others to fail as well.
PATIENCE_SECONDS = 30.0


def check_processes(configs: Sequence[StudyConfig], executor: str) -> None:
    """Refuse, before any work, a study that the processes of this job cannot share.

    Raises:
        InputError: a batch is not divisible by the number of processes, or the executor is not local.
    """
    world = train.start_world()
    if world.size > 1 and executor != "local":
        raise InputError(
            f"--executor {executor} cannot be combined with torchrun; start the command without torchrun"
        )
    for config in configs:
        if config.pretrain is not None:
            world.rows(config.pretrain.batch_size, "pretrain.batch_size")
        for name, arm in config.arms.items():
            check_arm(arm, world, f"arms.{name}.")


def check_arm(arm: rl.RLConfig, world: train.World, prefix: str = "") -> None:
    """Refuse an arm whose batches the processes cannot share evenly.

    Raises:
        InputError: names the first batch that is not divisible.
    """
    for name, size in arm.shared_batches().items():
        world.rows(size, prefix + name)


@contextmanager
def letting_others_go() -> Iterator[None]:
    """Context of the main process's work on a study: at its end, the others stop waiting for stages.

    An `EchoError` that ends it is raised in the other processes too.
    """
    world = train.start_world()
    if world.size == 1:
        yield
        return
    try:
        yield
    except EchoError as error:
        with suppress(EchoError):
            _send(world, error)
        raise
    _send(world, None)


@contextmanager
def joined_by_others(stage: Stage) -> Iterator[None]:
    """Context of a stage that the main process runs: the other processes also run it if it is shared."""
    world = train.start_world()
    if world.size == 1 or stage.kind not in SHARED:
        yield
        return
    _send(world, stage.key)
    with _leaving_together(stage):
        yield


def join(stages: Sequence[Stage], run_stage: Callable[[Stage], None]) -> None:
    """What the other processes do: run each stage that the main process sends, until it sends no more.

    The main process reports a stage that fails in all of them.

    Raises:
        EchoError: the error that the main process ended with.
    """
    world, by_key = train.start_world(), {stage.key: stage for stage in stages}
    with stop_signals():
        while (key := _send(world, None)) is not None:
            # The main process gets the same error and reports it.
            with suppress(Exception), _leaving_together(by_key[key]):
                run_stage(by_key[key])


@contextmanager
def _leaving_together(stage: Stage) -> Iterator[None]:
    """Context of a stage that all processes leave together, at its end or with the same error.

    An error in only one process leaves the others in the middle of an exchange, so it ends the job: that
    process prints its message, the others print nothing.
    """
    world, what = train.start_world(), f"echochamber/left/{stage.key}/{next(_numbers)}"
    try:
        yield
    except Exception as error:
        if train.another_ended() or not train.all_left(
            train.start_world(), what, patience_seconds=PATIENCE_SECONDS
        ):
            if train.ends_first():
                sentence = str(error) if isinstance(error, EchoError) else traceback.format_exc()
                say_error(sentence)
            raise SystemExit(1) from error
        raise
    if not train.all_left(world, what, patience_seconds=math.inf):
        raise SystemExit(1)


# Each process counts the shared stages it enters; all enter the same ones.
_numbers = itertools.count()


def _send(world: train.World, order: str | EchoError | None) -> str | None:
    """Send the main process's order to every process; raises it if it is an error."""

    def say() -> str | None:
        if isinstance(order, EchoError):
            raise order
        return order

    return world.on_main(say)
