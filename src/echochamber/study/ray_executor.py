"""Stages as Ray tasks; their folders are in the shared store, and only how they ended goes through Ray."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from echochamber.base import InputError
from echochamber.study.config import Resources
from echochamber.study.make import Job, StageEnd, do_job
from echochamber.study.store import Stage, Store

_POLL_SECONDS = 0.5
# Nothing of ours goes through Ray's object store; its default would take a third of the memory.
_OBJECT_STORE_BYTES = 100 * 2**20


class RayExecutor:
    """Runs each stage as a Ray task.

    Args:
        store: the store, on a file system that every node sees.
        stop_flag: file that asks workers to stop.
        resources: the needs of every kind of stage.
        address: address of a running cluster (`auto` finds one on this machine); None starts one here, unless
            RAY_ADDRESS names one or Ray is already connected.

    Raises:
        InputError: Ray is not installed, or there is no cluster at that address.
    """

    capacity: int | None = None

    def __init__(
        self, store: Store, stop_flag: Path, resources: Mapping[str, Resources], address: str | None = None
    ) -> None:
        if importlib.util.find_spec("ray") is None:
            raise InputError("--executor ray needs Ray: pip install 'echochamber[ray]'")
        self._store, self._flag, self._resources = store, stop_flag, resources
        self._address = address
        self._ours = False
        self._tasks: dict[Any, Stage] = {}

    def __enter__(self) -> Self:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # Workers of a cluster started here get the priority of the command itself; Ray would lower it.
        os.environ.setdefault("RAY_worker_niceness", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        import ray

        if ray.is_initialized():
            return self
        started_here = self._address is None and "RAY_ADDRESS" not in os.environ
        mine: dict[str, Any] = {"include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES}
        try:
            ray.init(address=self._address, logging_level=logging.ERROR, **(mine if started_here else {}))
        except (ConnectionError, ValueError, RuntimeError) as error:
            where = self._address or os.environ.get("RAY_ADDRESS", "this machine")
            raise InputError(f"no Ray cluster answers at {where}: {str(error).splitlines()[0]}") from error
        self._ours = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import ray

        for task in self._tasks:
            ray.cancel(task, force=True)
        self._tasks.clear()
        if self._ours:
            ray.shutdown()

    def start(self, stages: Sequence[Stage]) -> None:
        """Submit each stage as a task; if a task dies, the driver restarts it, not Ray."""
        import ray

        for stage in stages:
            needs = self._resources[stage.kind]
            memory = {} if needs.memory_gb is None else {"memory": int(needs.memory_gb * 2**30)}
            task = ray.remote(do_job).options(
                name=stage.title, num_cpus=needs.cpus, num_gpus=needs.gpus, max_retries=0, **memory
            )
            self._tasks[task.remote(Job.of(stage, self._store, self._flag))] = stage

    def wait(self) -> list[StageEnd]:
        """How tasks ended, for those that have ended."""
        import ray

        ended, _ = ray.wait(list(self._tasks), num_returns=1, timeout=_POLL_SECONDS)
        found: list[StageEnd] = []
        for task in ended:
            stage = self._tasks.pop(task)
            try:
                found.append(ray.get(task))
            except ray.exceptions.RayTaskError as error:
                # Raised outside the stage, e.g. by a worker that cannot import the package.
                reason = str(error.cause).splitlines()[0] if error.cause else "its Ray task failed"
                found.append(StageEnd(stage.folder_name, "failed", reason=reason, trace=str(error)))
            except ray.exceptions.RayError as error:
                reason = f"{type(error).__name__}: {str(error).splitlines()[0]}"
                found.append(StageEnd(stage.folder_name, "lost", reason=reason))
        return found

    def stop(self) -> None:
        """Raise the flag that workers poll."""
        self._flag.touch()
