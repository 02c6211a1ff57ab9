"""Sends the metrics of a study to experiment trackers as they are written, and its results at the end.

The run folder remains the only source of truth: rows are read from the stages' `metrics.jsonl`, wherever
those stages run, and no stage knows that it is tracked.
"""

from __future__ import annotations

import contextlib
import contextvars
import importlib.util
import json
import math
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from echochamber.base import InputError, Registry, digest, read_json, say, write_json
from echochamber.evaluation import Cell
from echochamber.study.plan import Plan
from echochamber.study.store import Stage, Store

_POLL_SECONDS = 1.0
SENT = "tracked.json"


@dataclass(frozen=True)
class TrackedRun:
    """One curve of a study in a tracker.

    Attributes:
        name: its name for display, which is also valid as a file name.
        id: the same whenever the same stage of the same config is sent.
        config: config of the stage.
        first_step: step of the first row that this process sends.
        resumed: whether an earlier process sent rows before it.
    """

    name: str
    id: str
    config: Mapping[str, Any]
    first_step: int
    resumed: bool


class Tracker(Protocol):
    """A service that shows curves. The rows of one run arrive in order of their steps, each once.

    After a kill the last row may arrive a second time, with the same step and the same values.
    """

    @property
    def where(self) -> str:
        """How to look at what was sent, in one line."""

    def start(self, run: TrackedRun) -> None:
        """Called before the first row of a run in this process."""

    def log(self, run: TrackedRun, step: int, values: Mapping[str, float]) -> None:
        """One row; nested values have names like `heldout/code`."""

    def results(self, run: TrackedRun, values: Mapping[str, float]) -> None:
        """The study's final measurements of this run, e.g. `pass@1`."""

    def close(self) -> None:
        """Called at the end; no more calls follow."""


TRACKERS: Registry[Callable[[str, Path], Tracker]] = Registry("tracker")


def register_tracker(name: str, make: Callable[[str, Path], Tracker]) -> Callable[[str, Path], Tracker]:
    """Make a tracker usable as `track: [NAME]`; `make` gets the study's name and its run folder.

    Raises:
        InputError: the name is taken, or `make` cannot be called.
    """
    if not callable(make):
        raise InputError(f"the tracker '{name}' is {make!r}; expected its class or a function that makes one")
    return TRACKERS.register(name, make)


def scalars(row: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """The finite numbers of a row, with nested names joined by `/`; booleans are 0 and 1."""
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from scalars(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and math.isfinite(value):
            yield prefix + str(name), float(value)


@dataclass
class _Curve:
    """A stage's metrics file and how far it has been read; rows count from the beginning of the file."""

    stage: Stage
    cell: Cell
    num_read: int = 0
    offset: int = 0
    runs: dict[str, TrackedRun] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the run in a tracker."""
        cell = self.cell
        first = self.stage.kind if cell.is_base else cell.arm
        return "-".join(filter(None, (first, cell.sweep, cell.size, cell.mixture, f"seed{cell.seed}")))

    def new_rows(self, store: Store) -> Iterator[tuple[int, dict[str, Any]]]:
        """Complete rows that have not been read yet, with their numbers."""
        folder = store.path(self.stage) if store.state(self.stage) == "done" else store.partial(self.stage)
        path = folder / "metrics.jsonl"
        size = path.stat().st_size if path.is_file() else 0
        if size < self.offset:
            # The file was cut back to a checkpoint, so the rows will come again.
            self.offset = self.num_read = 0
        if size == self.offset:
            return
        with path.open("rb") as stream:
            stream.seek(self.offset)
            data = stream.read()
        complete = data[: data.rfind(b"\n") + 1]
        for line in complete.splitlines(keepends=True):
            self.offset += len(line)
            self.num_read += 1
            yield self.num_read, json.loads(line)


class Follower:
    """Reads metrics as stages write them and passes them on, in a thread of the driver.

    The run folder records how many rows of each stage every tracker has received, so that a run that was
    killed continues its curves. A tracker that fails is dropped with a message, and the run continues.

    Args:
        folder: the run folder.
        names: names of registered trackers.

    Raises:
        InputError: a name is unknown, or its package is not installed.
    """

    def __init__(self, study: str, plan: Plan, store: Store, folder: Path, names: Sequence[str]) -> None:
        self._store, self._record = store, folder / SENT
        self._trackers = {name: TRACKERS.get(name)(study, folder) for name in dict.fromkeys(names)}
        self._curves = list(_curves(plan).values())
        self._sent: dict[str, dict[str, Any]] = {}
        self._end, self._reading = threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._follow, name="trackers", daemon=True)

    def __enter__(self) -> Self:
        if self._trackers:
            self._sent = read_json(self._record) if self._record.exists() else {}
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finish()
        for name, tracker in list(self._trackers.items()):
            self._safely(name, tracker.close)

    def forget(self) -> None:
        """Send everything again, because the study starts over."""
        self._record.unlink(missing_ok=True)

    def results(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Send the study's measurements, once, and say where to see them."""
        self._finish()
        for name, tracker in list(self._trackers.items()):
            sent = self._sent.setdefault(name, {})
            if sent.get("results") != digest(list(rows)):
                for curve in self._curves:
                    values = _results_of(curve, rows)
                    if values and (run := self._run(name, tracker, curve, 0)):
                        self._safely(name, tracker.results, run, values)
                sent["results"] = digest(list(rows))
                write_json(self._record, self._sent)
            if name in self._trackers:
                say(f"{name}: {tracker.where}")

    def _finish(self) -> None:
        if self._thread.is_alive():
            self._end.set()
            self._thread.join()

    def _follow(self) -> None:
        ended = False
        while not ended:
            ended = self._end.wait(_POLL_SECONDS)
            self.read()

    def read(self) -> None:
        """Pass on the rows that were written since the last time."""
        with self._reading:
            for curve in self._curves:
                # A folder that is just being renamed or cut back is read later; its stage reports damage.
                with contextlib.suppress(OSError, ValueError):
                    for number, row in curve.new_rows(self._store):
                        self._pass_on(curve, number, row)

    def _pass_on(self, curve: _Curve, number: int, row: Mapping[str, Any]) -> None:
        values = dict(scalars(row))
        step = int(values.pop("step", number))
        for name, tracker in list(self._trackers.items()):
            sent = self._sent.setdefault(name, {})
            if number <= sent.get(curve.stage.folder_name, 0):
                continue
            if run := self._run(name, tracker, curve, step):
                self._safely(name, tracker.log, run, step, values)
                sent[curve.stage.folder_name] = number
                self._safely(name, write_json, self._record, self._sent)

    def _run(self, name: str, tracker: Tracker, curve: _Curve, step: int) -> TrackedRun | None:
        if name not in curve.runs:
            resumed = curve.stage.folder_name in self._sent.get(name, {})
            run = TrackedRun(curve.name, curve.stage.key, curve.stage.config, step, resumed)
            self._safely(name, tracker.start, run)
            curve.runs[name] = run
        return curve.runs[name] if name in self._trackers else None

    def _safely(self, name: str, call: Callable[..., object], *arguments: object) -> None:
        try:
            call(*arguments)
        except Exception as error:  # noqa: BLE001 - no error of a tracker may end the run
            said = (str(error).splitlines() or [""])[0]
            say(f"{name} failed and gets no more rows; the run continues: {type(error).__name__}: {said}")
            self._trackers.pop(name, None)


def _curves(plan: Plan) -> dict[str, _Curve]:
    """The stages of a plan that write metrics, by key."""
    found: dict[str, _Curve] = {}
    for item in plan.measured:
        if item.stage.kind != "evaluate":
            found.setdefault(item.stage.key, _Curve(item.stage, item.cell))
    return found


def _results_of(curve: _Curve, rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The sampled measurements of a curve's arm at its last step."""
    mine = [row for row in rows if not row["greedy"] and Cell.of(row).on(None) == curve.cell]
    last = max((row["step"] for row in mine), default=0)
    found: dict[str, float] = {}
    for row in (row for row in mine if row["step"] == last):
        where = f"{row['benchmark']}/"
        found |= {f"{where}pass@{k}": float(v) for k, v in row["pass_at"].items()}
        found |= {f"{where}maj@{k}": float(v) for k, v in row["maj_at"].items()}
        found |= {f"{where}share of {name}": float(v) for name, v in row["share"].items() if v}
    return found


def _need(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise InputError(f"tracking with {package} needs its package: pip install 'echochamber[track]'")


class TensorBoard:
    """Event files in `runs/<study>/tensorboard`, one folder per run."""

    def __init__(self, study: str, folder: Path) -> None:
        _need("tensorboard")
        self._folder = folder / "tensorboard"
        self._writers: dict[str, Any] = {}

    @property
    def where(self) -> str:
        """The command that shows them."""
        return f"tensorboard --logdir {self._folder}"

    def start(self, run: TrackedRun) -> None:
        """Open an event file; later steps that an earlier process wrote are not shown twice."""
        from torch.utils.tensorboard import SummaryWriter

        purge = run.first_step if run.resumed else None
        self._writers[run.id] = SummaryWriter(str(self._folder / run.name), purge_step=purge)

    def log(self, run: TrackedRun, step: int, values: Mapping[str, float]) -> None:
        """One point of every curve."""
        for name, value in values.items():
            self._writers[run.id].add_scalar(name, value, step)

    def results(self, run: TrackedRun, values: Mapping[str, float]) -> None:
        """A table in the text tab."""
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
        """Begin or continue the run; offline parts with the same id are joined when they are uploaded."""
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
        """Begin or continue the run."""
        import trackio

        # Each run gets its own context; otherwise a second run would finish the first.
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
