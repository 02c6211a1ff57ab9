"""A loop of steps that survives being killed; pretraining, fine-tuning and every RL algorithm use it.

    with TrainingRun(folder, total_steps=9, modules={"model": model}, optimizers={"model": adam}) as run:
        for step in run.steps():
            stats = optimizer_step(...)
            run.log({"step": step, "loss": stats.loss})

Each step must be a function of the step number, the modules, the optimizers and `run.extras`; then a run that
was killed and restarted ends with the same bytes as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn

from echochamber.base import EchoError, Interrupted, fault_point, note, stop_requested, stop_signals
from echochamber.train.checkpoints import (
    Checkpoint,
    Retention,
    load_checkpoint,
    newest,
    restore,
    save_checkpoint,
)
from echochamber.train.hardware import keep_freed_memory
from echochamber.train.logs import LogMark, MetricsLog, TimingLog, disagreement
from echochamber.train.nonfinite import NonFiniteError
from echochamber.train.parallel import gather_tensors, like, load_tensors
from echochamber.train.sharing import give_way_when_busy
from echochamber.train.world import World

CHECKPOINTS = "checkpoints"
METRICS = "metrics.jsonl"
TIMING = "timing.jsonl"


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The per-parameter state as named tensors: `"<index of the parameter>.<name of the state>"`.

    Raises:
        TypeError: the optimizer keeps state that is not a tensor.
    """
    tensors: dict[str, Tensor] = {}
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for index, parameter in enumerate(parameters):
        for name, value in optimizer.state.get(parameter, {}).items():
            if not isinstance(value, Tensor):
                raise TypeError(f"optimizer state {name} is a {type(value).__name__}, expected a tensor")
            tensors[f"{index}.{name}"] = value
    return tensors


def load_optimizer_tensors(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Restore the output of `optimizer_tensors`; learning rate, betas and decay stay as constructed."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        parameter = parameters[int(index)]
        state.setdefault(int(index), {})[name] = like(value, parameter) if value.dim() else value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _out_of_memory(error: BaseException | None) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # PyTorch's CPU allocator has no error type of its own.
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


class TrainingRun:
    """State of a resumable loop; enter it to restore, iterate `steps()` to work.

    Args:
        folder: holds `checkpoints/`, `metrics.jsonl`, `timing.jsonl` and the further logs.
        total_steps: number of steps of the whole loop.
        modules: whose parameters and buffers are saved and, on entering, restored in place.
        optimizers: likewise.
        extras: state that JSON can hold, changed through `run.extras`; these are the values at step 0.
        fingerprints: values that must be equal for a checkpoint to be used, e.g. `{"config": digest}`.
        checkpoint_every: steps between checkpoints; the last step always leaves one.
        retention: which checkpoints stay on disk.
        logs: names of further JSON-lines files under the same contract as `metrics.jsonl`.
        world: the processes of a torchrun job; only the main one reads and writes files.

    Attributes:
        step: number of completed steps.
        batch: description of the current step's batch, named in the error if the loss is not finite.
        memory_advice: what the user could change when memory runs out.

    Raises:
        InputError: the folder is not writable.
        EchoError: a checkpoint with other fingerprints is in the way, or the disk failed.
    """

    def __init__(
        self,
        folder: Path,
        *,
        total_steps: int,
        modules: Mapping[str, nn.Module],
        optimizers: Mapping[str, torch.optim.Optimizer],
        extras: Mapping[str, Any] | None = None,
        fingerprints: Mapping[str, str] | None = None,
        checkpoint_every: int = 100,
        retention: Retention | None = None,
        logs: tuple[str, ...] = (),
        world: World | None = None,
    ) -> None:
        self.folder, self.total_steps = folder, total_steps
        self.modules, self.optimizers = dict(modules), dict(optimizers)
        self.extras: dict[str, Any] = dict(extras or {})
        self.fingerprints = dict(fingerprints or {})
        self.checkpoint_every, self.retention = checkpoint_every, retention or Retention()
        self.world = world or World()
        self.step, self.batch = 0, ""
        self.memory_advice = "use smaller microbatches, activation checkpointing or a smaller model"
        self.logs: dict[str, MetricsLog] = {}
        self._log_names = (METRICS, *logs)
        self._signals = stop_signals()
        self._last_saved = -1

    @property
    def checkpoints(self) -> Path:
        """Where the checkpoints lie."""
        return self.folder / CHECKPOINTS

    def __enter__(self) -> Self:
        keep_freed_memory()
        give_way_when_busy()
        self._signals.__enter__()
        try:
            self._resume()
        except BaseException as error:
            self._signals.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def _resume(self) -> None:
        found: Checkpoint | None = None

        def find() -> Path | None:
            nonlocal found
            found = restore(self.checkpoints, fingerprints=self.fingerprints, objection=self._objection)
            self.logs = {name: MetricsLog(self.folder / name) for name in self._log_names}
            self._timing = TimingLog(self.folder / TIMING)
            for name, log in self.logs.items():
                log.truncate(found.values["logs"][name]["num_bytes"] if found else 0)
            return found.path if found else None

        path = self.world.on_main(find)
        if path is not None:
            self._load(found or load_checkpoint(path))
        self._clock = time.perf_counter()

    def _objection(self, found: Checkpoint) -> str:
        """A checkpoint can be used only while the logs still begin as they did when it was written."""
        marks = found.values["logs"]
        reasons = (disagreement(self.folder / name, LogMark(**mark)) for name, mark in marks.items())
        return next(filter(None, reasons), "")

    def _load(self, found: Checkpoint) -> None:
        for name, module in self.modules.items():
            load_tensors(module, found.tensors[name])
        for name, optimizer in self.optimizers.items():
            load_optimizer_tensors(optimizer, found.tensors[f"{name}.optimizer"])
        self.extras = found.values["extras"]
        self.step = self._last_saved = found.step
        if 0 < self.step < self.total_steps and self.world.is_main:
            note(f"{self.folder}: continuing after step {self.step} of {self.total_steps}")

    def steps(self) -> Iterator[int]:
        """Numbers of the remaining steps, from 0; a step counts as done when the next one is requested.

        Raises:
            Interrupted: SIGINT or SIGTERM came; the finished step is in a checkpoint.
        """
        while self.step < self.total_steps:
            fault_point("run.before_step")
            yield self.step
            self.step += 1
            if self.step % self.checkpoint_every == 0 or self.step == self.total_steps:
                self.save()
            if self.world.any(bool(stop_requested())):
                self.save()
                who = stop_requested() or "another process was asked to end"
                raise Interrupted(
                    f"{who}: stopped after step {self.step} of {self.total_steps}; "
                    "run the same command again to continue from there"
                )

    def log(self, row: Mapping[str, Any], log: str = METRICS) -> None:
        """Append a row of deterministic values to a log."""
        if self.world.is_main:
            self.logs[log].append(row)

    def log_timing(
        self, row: Mapping[str, Any], rates: Callable[[float], Mapping[str, Any]] | None = None
    ) -> float:
        """Append a row of wall-clock values; `seconds` since the previous row is added and returned.

        `rates` computes further values from the seconds.
        """
        now = time.perf_counter()
        seconds, self._clock = now - self._clock, now
        if self.world.is_main:
            self._timing.append({**row, "seconds": seconds, **(rates(seconds) if rates else {})})
        return seconds

    def save(self) -> None:
        """Write a checkpoint of the steps completed so far, unless it exists."""
        if self.step == self._last_saved:
            return
        tensors = {n: gather_tensors(m.state_dict(), self.world) for n, m in self.modules.items()}
        for name, optimizer in self.optimizers.items():
            tensors[f"{name}.optimizer"] = gather_tensors(optimizer_tensors(optimizer), self.world)
        self.world.on_main(lambda: self._write(tensors))
        self._last_saved = self.step

    def _write(self, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
        marks = {name: log.mark() for name, log in self.logs.items()}
        values = {
            "extras": self.extras,
            "logs": {n: {"num_bytes": m.num_bytes, "sha256": m.sha256} for n, m in marks.items()},
        }
        save_checkpoint(
            self.checkpoints,
            self.step,
            tensors=tensors,
            values=values,
            fingerprints=self.fingerprints,
            retention=self.retention,
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for log in self.logs.values():
            log.close()
        if self.world.is_main:
            self._timing.close()
        self._signals.__exit__(kind, error, trace)
        if isinstance(error, NonFiniteError):
            last = newest(self.checkpoints)
            raise error.located(step=self.step, batch=self.batch, checkpoint=str(last or "")) from error
        if _out_of_memory(error):
            raise EchoError(f"out of memory at step {self.step}; {self.memory_advice}") from error
