"""The trackers that come with echochamber. Each imports its package when it is made, and needs no network."""

from __future__ import annotations

import contextvars
import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from echochamber.base import InputError
from echochamber.study.tracking import TrackedRun, register_tracker


def _need(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise InputError(f"tracking with {package} needs its package: pip install 'echochamber[track]'")


class TensorBoard:
    """Event files in `runs/<study>/tensorboard`, one folder for each run."""

    def __init__(self, study: str, folder: Path) -> None:
        _need("tensorboard")
        self._folder = folder / "tensorboard"
        self._writers: dict[str, Any] = {}

    @property
    def where(self) -> str:
        """The command that shows them."""
        return f"tensorboard --logdir {self._folder}"

    def start(self, run: TrackedRun) -> None:
        """Open an event file; what an earlier process wrote at later steps is not shown twice."""
        from torch.utils.tensorboard import SummaryWriter

        purge = run.first_step if run.resumed else None
        self._writers[run.id] = SummaryWriter(str(self._folder / run.name), purge_step=purge)

    def log(self, run: TrackedRun, step: int, values: Mapping[str, float]) -> None:
        """One point of every curve."""
        for name, value in values.items():
            self._writers[run.id].add_scalar(name, value, step)

    def results(self, run: TrackedRun, values: Mapping[str, float]) -> None:
        """A table among the texts."""
        lines = [f"| {name} | {value:.4g} |" for name, value in values.items()]
        self._writers[run.id].add_text("results", "\n".join(["| measured | value |", "|---|---|", *lines]))

    def close(self) -> None:
        """Write what is buffered."""
        for writer in self._writers.values():
            writer.close()


class WandB:
    """Weights & Biases, offline in `runs/<study>/wandb` unless WANDB_MODE says otherwise."""

    def __init__(self, study: str, folder: Path) -> None:
        _need("wandb")
        self._study, self._folder = study, folder
        self._mode = os.environ.get("WANDB_MODE", "offline")
        self._runs: dict[str, Any] = {}

    @property
    def where(self) -> str:
        """The command that uploads them."""
        if self._mode != "offline":
            return f"project {self._study}"
        return f"wandb sync {self._folder / 'wandb'}/offline-run-*"

    def start(self, run: TrackedRun) -> None:
        """Begin the run, or go on with it; offline parts with one id are joined when they are uploaded."""
        import wandb

        self._runs[run.id] = wandb.init(
            project=self._study, dir=self._folder, id=run.id, name=run.name, config=dict(run.config),
            mode=self._mode,  # type: ignore[arg-type]
            resume="allow" if self._mode == "online" else None, reinit="create_new",
            settings=wandb.Settings(console="off", silent=True),
        )  # fmt: skip

    def log(self, run: TrackedRun, step: int, values: Mapping[str, float]) -> None:
        """One row of the history."""
        self._runs[run.id].log(dict(values), step=step)

    def results(self, run: TrackedRun, values: Mapping[str, float]) -> None:
        """The run's summary."""
        self._runs[run.id].summary.update(dict(values))

    def close(self) -> None:
        """Finish every run."""
        for run in self._runs.values():
            run.finish()


class Trackio:
    """Trackio's local database (TRACKIO_DIR, in the Hugging Face cache by default)."""

    def __init__(self, study: str, folder: Path) -> None:
        _need("trackio")
        self._study = study
        self._runs: dict[str, Any] = {}

    @property
    def where(self) -> str:
        """The command that shows them."""
        return f"trackio show --project {self._study}"

    def start(self, run: TrackedRun) -> None:
        """Begin the run, or go on with it."""
        import trackio

        # Each in a context of its own: otherwise a second run would finish the first.
        self._runs[run.id] = contextvars.Context().run(
            trackio.init, project=self._study, name=f"{run.name}-{run.id[:6]}", config=dict(run.config),
            resume="allow", embed=False, auto_log_gpu=False, auto_log_cpu=False,
        )  # fmt: skip

    def log(self, run: TrackedRun, step: int, values: Mapping[str, float]) -> None:
        """One row."""
        self._runs[run.id].log(dict(values), step=step)

    def results(self, run: TrackedRun, values: Mapping[str, float]) -> None:
        """A last row."""
        self._runs[run.id].log({f"results/{name}": value for name, value in values.items()})

    def close(self) -> None:
        """Finish every run."""
        for run in self._runs.values():
            run.finish()


register_tracker("tensorboard", TensorBoard)
register_tracker("wandb", WandB)
register_tracker("trackio", Trackio)
