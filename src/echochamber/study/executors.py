"""Where stages run: in this process, as Ray tasks or as Slurm jobs, chosen by `--executor NAME`."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self, cast

from echochamber.base import InputError, did_you_mean
from echochamber.base.lazy import torch
from echochamber.study.config import Resources, SlurmConfig
from echochamber.study.make import StageEnd, make_stage
from echochamber.study.ray_executor import RayExecutor
from echochamber.study.slurm_executor import SlurmExecutor
from echochamber.study.stages import STAGES
from echochamber.study.store import Stage, Store

EXECUTORS = ("local", "ray", "slurm")
DEFAULT = "default"


class Executor(Protocol):
    """Runs stages whose inputs are finished; a context that is entered before the first stage.

    Attributes:
        capacity: how many stages may run at once; None leaves that to the scheduler.
    """

    capacity: int | None

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End whatever is still running, immediately."""

    def start(self, stages: Sequence[Stage]) -> None:
        """Begin stages that are ready together."""

    def wait(self) -> list[StageEnd]:
        """How stages ended since the last call; returns within about a second of anything new."""

    def stop(self) -> None:
        """Ask every running stage to save a checkpoint and end; `wait` still reports each of them."""


class LocalExecutor:
    """Runs stages one after another in this process; Ctrl-C reaches the running one directly."""

    capacity: int | None = 1

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ready: deque[Stage] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ready.clear()

    def start(self, stages: Sequence[Stage]) -> None:
        """Put stages in the queue."""
        self._ready.extend(stages)

    def wait(self) -> list[StageEnd]:
        """Make the first stage in the queue."""
        return [make_stage(self._ready.popleft(), self._store)] if self._ready else []

    def stop(self) -> None:
        """Do nothing: the running stage polls the same request as the driver."""


@dataclass(frozen=True)
class ExecutorOptions:
    """Where stages run.

    Attributes:
        name: `local`, `ray` or `slurm`.
        ray_address: address of a running Ray cluster; None starts one on this machine.
        slurm_cluster: overrides `slurm.cluster` of the study.
    """

    name: str = "local"
    ray_address: str | None = None
    slurm_cluster: str | None = None

    def __post_init__(self) -> None:
        if self.name not in EXECUTORS:
            raise InputError(
                f"unknown executor '{self.name}': expected one of {', '.join(EXECUTORS)}."
                f"{did_you_mean(self.name, EXECUTORS)}"
            )
        if self.slurm_cluster not in (None, "slurm", "local"):
            raise InputError(f"--slurm-cluster {self.slurm_cluster}: expected slurm or local")


def _check_kinds(given: Mapping[str, Resources]) -> None:
    """Refuse resources for a kind of stage that does not exist."""
    for name in given:
        if name not in (*STAGES, DEFAULT):
            known = [*STAGES, DEFAULT]
            raise InputError(
                f"resources.{name}: no kind of stage has that name; expected one of {', '.join(known)}."
                f"{did_you_mean(name, known)}"
            )


def _resources_by_kind(given: Mapping[str, Resources]) -> dict[str, Resources]:
    """The needs of every kind of stage, with the number of cores filled in."""
    default = given.get(DEFAULT, Resources())
    chosen = {kind: given.get(kind, default) for kind in STAGES}
    return {
        kind: needs if needs.cpus is not None else needs.model_copy(update={"cpus": torch.get_num_threads()})
        for kind, needs in chosen.items()
    }


def make_executor(
    options: ExecutorOptions,
    store: Store,
    folder: Path,
    resources: Mapping[str, Resources],
    slurm: SlurmConfig,
) -> Executor:
    """The executor that `options` name, not yet entered.

    Args:
        folder: the run folder; executors keep their own files in it.

    Raises:
        InputError: its package is not installed, or `resources` names an unknown kind of stage.
    """
    _check_kinds(resources)
    if options.name == "local":
        return LocalExecutor(store)
    needs, flag = _resources_by_kind(resources), folder / "stop"
    if options.name == "ray":
        return RayExecutor(store, flag, needs, options.ray_address)
    cluster = cast(Literal["slurm", "local"], options.slurm_cluster or slurm.cluster)
    config = slurm.model_copy(update={"cluster": cluster})
    return SlurmExecutor(store, flag, needs, folder / "slurm", config)
