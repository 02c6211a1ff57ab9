"""What stages need of a machine, and how jobs are handed to SLURM. Nothing here enters a stage's key."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from echochamber.base import Config


class Resources(Config):
    """What one stage needs of the machine it runs on.

    Attributes:
        cpus: cores; None is the number of threads that the command itself computes with.
        gpus: GPUs; Ray also takes fractions.
        memory_gb: memory; None asks for none, which leaves the scheduler's default.
    """

    cpus: int | None = Field(default=None, ge=1)
    gpus: float = Field(default=0.0, ge=0)
    memory_gb: float | None = Field(default=None, gt=0)


class SlurmConfig(Config):
    """How stages become SLURM jobs.

    Attributes:
        cluster: `slurm`, or `local` for processes on this machine that are treated like its jobs.
        partition, account, qos, constraint: as sbatch takes them.
        minutes: time limit of one job; a stage that needs longer is requeued and goes on.
        array_parallelism: jobs of one array that run at once.
        signal_delay_seconds: how long before the time limit a job is asked to leave a checkpoint.
        requeues: how often one stage may run into its time limit.
        setup: shell lines before Python starts, e.g. `module load cuda`.
        additional: further sbatch options, e.g. `{reservation: week2}`.
    """

    cluster: Literal["slurm", "local"] = "slurm"
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    minutes: int = Field(default=24 * 60, ge=1)
    array_parallelism: int = Field(default=64, ge=1)
    signal_delay_seconds: int = Field(default=120, ge=1)
    requeues: int = Field(default=100, ge=0)
    setup: tuple[str, ...] = ()
    additional: dict[str, str | int | float | bool] = Field(default_factory=dict)
