"""A study under torchrun: the main process decides and writes, the others join the stages they can share.

The main process goes through the plan as always. Before a shared stage it names the stage to the others, who
wait for nothing else; then all run it together. Every other stage is the main process's alone.
"""

from __future__ import annotations

import itertools
import math
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from echochamber.base import EchoError, InputError, say_error, stop_signals
from echochamber.rl import RLConfig
from echochamber.study.config import StudyConfig
from echochamber.study.store import Stage
from echochamber.train import World, all_left, another_ended, ends_first, start_world

if TYPE_CHECKING:
    from echochamber.study.executors import ExecutorOptions

SHARED = ("pretrain", "arm")
# How long a process that failed in a shared stage waits for the others to fail likewise.
PATIENCE_SECONDS = 30.0


def check_processes(configs: Sequence[StudyConfig], where: ExecutorOptions) -> None:
    """Refuse, before any work, a study that the processes of this job cannot share.

    Raises:
        InputError: a batch is not divisible by the number of processes, or another executor is asked for.
    """
    world = start_world()
    if world.size > 1 and where.name != "local":
        raise InputError(
            f"--executor {where.name} under torchrun: expected one or the other; start the driver without "
            "torchrun"
        )
    for config in configs:
        if config.pretrain is not None:
            world.rows(config.pretrain.batch_size, "pretrain.batch_size")
        for name, arm in config.arms.items():
            check_arm(arm, world, f"arms.{name}.")


def check_arm(arm: RLConfig, world: World, prefix: str = "") -> None:
    """Refuse an arm whose batches the processes cannot share evenly.

    Raises:
        InputError: naming the first that is not divisible.
    """
    for name, size in arm.shared_batches().items():
        world.rows(size, prefix + name)


@contextmanager
def leading() -> Iterator[None]:
    """Around everything the main process does for a study: lets the others go at its end.

    What it could not do (any `EchoError`) is raised in them too.
    """
    world = start_world()
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
def together(stage: Stage) -> Iterator[None]:
    """Around a stage that the main process makes: the others take part if it is a shared one."""
    world = start_world()
    if world.size == 1 or stage.kind not in SHARED:
        yield
        return
    _send(world, stage.key)
    with _leaving_together(stage):
        yield


def follow(stages: Sequence[Stage], take_part: Callable[[Stage], None]) -> None:
    """What the other processes do: wait for a stage to be named, take part in it, until there is no more.

    A stage that failed in all of them is the main process's to report.

    Raises:
        EchoError: what the main process ended with.
    """
    world, by_key = start_world(), {stage.key: stage for stage in stages}
    with stop_signals():
        while (key := _send(world, None)) is not None:
            # Whatever it is, the main process meets it too, and reports it.
            with suppress(Exception), _leaving_together(by_key[key]):
                take_part(by_key[key])


@contextmanager
def _leaving_together(stage: Stage) -> Iterator[None]:
    """A stage that all processes leave, by its end or by the same error.

    An error of one process alone leaves the others in the middle of an exchange, so it ends the job: with
    its sentence, and silence from the others.
    """
    what = f"echochamber/left/{stage.key}/{next(_numbers)}"
    try:
        yield
    except Exception as error:
        if another_ended() or not all_left(start_world(), what, patience_seconds=PATIENCE_SECONDS):
            if ends_first():
                sentence = str(error) if isinstance(error, EchoError) else traceback.format_exc()
                say_error(sentence)
            raise SystemExit(1) from error
        raise
    if not all_left(start_world(), what, patience_seconds=math.inf):
        raise SystemExit(1)


# Each process counts the shared stages it enters; all enter the same ones.
_numbers = itertools.count()


def _send(world: World, order: str | EchoError | None) -> str | None:
    """The main process's order, in every process; raised if it is an error."""

    def say() -> str | None:
        if isinstance(order, EchoError):
            raise order
        return order

    return world.on_main(say)
