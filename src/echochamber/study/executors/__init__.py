"""Where stages run: in this process, as Ray tasks, or as SLURM jobs. No scheduler of our own."""

from __future__ import annotations

from echochamber.study.executors.choice import EXECUTORS, ExecutorOptions, make_executor
from echochamber.study.executors.interface import Executor
from echochamber.study.executors.job import Job, Outcome, attempt, run_job
from echochamber.study.executors.local import LocalExecutor

__all__ = [
    "EXECUTORS",
    "Executor",
    "ExecutorOptions",
    "Job",
    "LocalExecutor",
    "Outcome",
    "attempt",
    "make_executor",
    "run_job",
]
