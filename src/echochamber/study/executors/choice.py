"""From `--executor NAME` to the object that runs stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from echochamber.base import InputError, did_you_mean
from echochamber.study.executors.interface import Executor
from echochamber.study.executors.local import LocalExecutor
from echochamber.study.resources import Resources, SlurmConfig
from echochamber.study.stages import STAGES
from echochamber.study.store import Store

EXECUTORS = ("local", "ray", "slurm")
DEFAULT = "default"


@dataclass(frozen=True)
class ExecutorOptions:
    """Where stages run.

    Attributes:
        name: `local`, `ray` or `slurm`.
        ray_address: of a running Ray cluster; None starts one on this machine.
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


def resources_by_kind(given: Mapping[str, Resources]) -> dict[str, Resources]:
    """The needs of every kind of stage, with the number of cores filled in.

    Raises:
        InputError: a name that is no kind of stage.
    """
    import torch

    for name in given:
        if name not in (*STAGES, DEFAULT):
            known = [*STAGES, DEFAULT]
            raise InputError(
                f"resources.{name}: no kind of stage has that name; expected one of {', '.join(known)}."
                f"{did_you_mean(name, known)}"
            )
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
        InputError: its extra is not installed, or `resources` names an unknown kind of stage.
    """
    needs = resources_by_kind(resources)
    flag = folder / "stop"
    if options.name == "ray":
        from echochamber.study.executors.ray import RayExecutor

        return RayExecutor(store, flag, needs, options.ray_address)
    if options.name == "slurm":
        from echochamber.study.executors.slurm import SlurmExecutor

        cluster = cast(Literal["slurm", "local"], options.slurm_cluster or slurm.cluster)
        config = slurm.model_copy(update={"cluster": cluster})
        return SlurmExecutor(store, flag, needs, folder / "slurm", config)
    return LocalExecutor(store)
