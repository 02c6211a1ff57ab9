"""Stages as Slurm jobs through submitit: arrays of ready stages, requeued when preempted or out of time."""

from __future__ import annotations

import importlib.util
import itertools
import math
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from echochamber.base import InputError
from echochamber.study.config import Resources, SlurmConfig
from echochamber.study.make import Job, StageEnd, do_job
from echochamber.study.store import Stage, Store

_POLL_SECONDS = 0.25
# How long a finished job's result may take to become visible on a network file system.
_RESULT_SECONDS = {"local": 1.0, "slurm": 30.0}


class StageTask:
    """What submitit pickles and calls in the job: a stage that can be requeued.

    SIGUSR2 (submitit's warning before the time limit), SIGTERM (preemption) and SIGINT let the step finish
    and save a checkpoint; then submitit's own handler saves this task and asks Slurm to requeue the job. If
    the driver asked to stop, the job ends instead.
    """

    def __init__(self, job: Job) -> None:
        self.job = job

    def __call__(self) -> StageEnd:
        from submitit import JobEnvironment

        # submitit installs this handler before it calls us, and it is restored when the stage has ended.
        requeue = signal.getsignal(getattr(signal, "SIG" + JobEnvironment.USR_SIG))
        end = do_job(self.job)
        if end.state == "stopped" and not self.job.stop_flag.exists() and callable(requeue):
            requeue(signal.SIGUSR2, None)
        return end

    def checkpoint(self) -> Any:
        """The task to run after a requeue, which is the same one: its progress is in the store."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class SlurmExecutor:
    """Runs each stage as a Slurm job.

    Args:
        store: the store, on a file system that every node sees.
        stop_flag: file that asks workers to stop.
        resources: the needs of every kind of stage.
        folder: where submitit keeps its files and the jobs' logs.
        config: how to submit jobs.

    Raises:
        InputError: submitit is not installed, or there is no Slurm on this machine.
    """

    capacity: int | None = None

    def __init__(
        self,
        store: Store,
        stop_flag: Path,
        resources: Mapping[str, Resources],
        folder: Path,
        config: SlurmConfig,
    ) -> None:
        if importlib.util.find_spec("submitit") is None:
            raise InputError("--executor slurm needs submitit: pip install 'echochamber[slurm]'")
        self._store, self._flag, self._resources = store, stop_flag, resources
        self._folder, self._config = folder.absolute(), config
        self._jobs: dict[str, Any] = {}
        self._ended_at: dict[str, float] = {}
        self._cancelled: list[StageEnd] = []

    def _executor(self, needs: Resources) -> Any:
        import submitit

        config = self._config
        try:
            executor = submitit.AutoExecutor(
                folder=self._folder, cluster=config.cluster,
                **{f"{config.cluster}_max_num_timeout": config.requeues},
            )  # fmt: skip
        except RuntimeError as error:
            raise InputError(
                "there is no Slurm on this machine (srun is not on the PATH); run this on a login node, "
                "or try it here with --slurm-cluster local"
            ) from error
        parameters = {
            "name": "echochamber",
            "timeout_min": config.minutes,
            "cpus_per_task": needs.cpus,
            "gpus_per_node": math.ceil(needs.gpus),
            "mem_gb": needs.memory_gb,
            "slurm_partition": config.partition,
            "slurm_account": config.account,
            "slurm_qos": config.qos,
            "slurm_constraint": config.constraint,
            "slurm_array_parallelism": config.array_parallelism,
            "slurm_signal_delay_s": config.signal_delay_seconds,
            "slurm_setup": list(config.setup) or None,
            "slurm_additional_parameters": dict(config.additional) or None,
        }
        executor.update_parameters(**{name: value for name, value in parameters.items() if value is not None})
        return executor

    def __enter__(self) -> Self:
        self._executor(Resources())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for job in self._jobs.values():
            job.cancel(check=False)
        self._jobs.clear()

    def start(self, stages: Sequence[Stage]) -> None:
        """Submit stages; those with equal needs become one job array."""
        ordered = sorted(stages, key=lambda stage: repr(self._resources[stage.kind]))
        for _, group in itertools.groupby(ordered, key=lambda stage: repr(self._resources[stage.kind])):
            together = list(group)
            tasks = [StageTask(Job.of(stage, self._store, self._flag)) for stage in together]
            jobs = self._executor(self._resources[together[0].kind]).submit_array(tasks)
            self._jobs.update({s.folder_name: job for s, job in zip(together, jobs, strict=True)})

    def wait(self) -> list[StageEnd]:
        """How jobs ended, for those that have ended."""
        time.sleep(_POLL_SECONDS)
        found, self._cancelled = self._cancelled, []
        for name, job in list(self._jobs.items()):
            if job.done() and (end := self._end_of(name, job)) is not None:
                found.append(end)
                del self._jobs[name]
                self._ended_at.pop(name, None)
        return found

    def _end_of(self, name: str, job: Any) -> StageEnd | None:
        """How a job ended; None while its result may not be visible yet."""
        import submitit.core.utils as submitit_utils

        if not job.paths.result_pickle.exists():
            since = self._ended_at.setdefault(name, time.monotonic())
            if time.monotonic() - since < _RESULT_SECONDS[self._config.cluster]:
                return None
            return StageEnd(
                name,
                "lost",
                reason=f"its job {job.job_id} ended in state {job.state}; see {job.paths.stderr}",
            )
        try:
            end: StageEnd = job.result()
        except submitit_utils.FailedJobError as error:
            reason = str(error).strip().splitlines()[-1]
            return StageEnd(name, "failed", reason=reason, trace=str(error))
        return end

    def stop(self) -> None:
        """Raise the flag that workers poll, and remove jobs that have not begun from the queue."""
        self._flag.touch()
        for name, job in list(self._jobs.items()):
            if job.state == "PENDING":
                job.cancel(check=False)
                del self._jobs[name]
                self._cancelled.append(StageEnd(name, "stopped", reason="it was removed from the queue"))
