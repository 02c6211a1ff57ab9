"""The driver decides which stage is made next: each once its inputs exist, whatever happens to the others."""

from __future__ import annotations

import contextlib
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from echochamber.base import (
    EchoError,
    InputError,
    Interrupted,
    read_json,
    say,
    set_aside,
    stop_requested,
    write_json,
)
from echochamber.study.executors import Executor
from echochamber.study.make import StageEnd
from echochamber.study.store import DAMAGED, Stage, Store, damaged_clocks

# Where a run folder records which stages failed and why: one small file per stage, for `status`.
FAILED = "failed"

# How many times a stage is restarted after its process died without a message.
_MOST_LOSSES = 3


class Driver:
    """Hands ready stages to an executor until nothing is left that can be made.

    A failed stage blocks only the stages that need it. Stages that only blocked ones would use are not made
    either.

    Args:
        stages: the stages to make, each after its inputs; inputs not among them must be in the store.
        run: the run folder, where failures are recorded.
    """

    def __init__(self, stages: Sequence[Stage], store: Store, run: Path, executor: Executor) -> None:
        self._store, self._run, self._executor = store, run, executor
        self._stages = {stage.folder_name: stage for stage in stages}
        self._heads = {
            stage.folder_name: f"[{number}/{len(stages)}] {stage.title}"
            for number, stage in enumerate(stages, 1)
        }
        self._waiting = dict(self._stages)
        self._running: dict[str, Stage] = {}
        self._finished: set[str] = set()
        self._failed: dict[str, StageEnd] = {}
        self._losses: Counter[str] = Counter()
        self._stopped = ""

    def drive(self) -> None:
        """Make everything that can be made.

        Raises:
            Interrupted: a signal asked to stop; finished stages are kept, and unfinished ones can continue.
            EchoError: stages failed; the others were made.
        """
        shutil.rmtree(self._run / FAILED, ignore_errors=True)
        while True:
            if not self._asked_to_stop():
                self._start_ready()
            if not self._running:
                break
            for end in self._executor.wait():
                self._take(end)
        if self._stopped:
            raise Interrupted(self._stopped)
        if self._failed:
            failed = [(self._stages[name], end) for name, end in self._failed.items()]
            raise _error_of(failed, len(self._blocked()))

    def _asked_to_stop(self) -> bool:
        if (name := stop_requested()) and not self._stopped:
            titles = [stage.title for stage in (*self._running.values(), *self._waiting.values())]
            if not titles:
                return True
            self._stopped = f"{name}: stopped before '{titles[0]}'; run the same command again to continue"
            self._executor.stop()
        return bool(self._stopped)

    def _blocked(self) -> set[str]:
        """Waiting stages that need a failed one, directly or through others."""
        found: set[str] = set()
        for name, stage in self._waiting.items():
            if any(i.folder_name in self._failed or i.folder_name in found for i in stage.inputs.values()):
                found.add(name)
        return found

    def _wanted(self) -> list[Stage]:
        """Waiting stages that are not blocked and that an unblocked stage needs or that nothing needs."""
        blocked = self._blocked()
        needed: set[str] = set()
        used = {other.folder_name for stage in self._stages.values() for other in stage.inputs.values()}
        for name, stage in reversed(self._stages.items()):
            if name not in blocked and (name not in used or name in needed):
                needed.update(other.folder_name for other in stage.inputs.values())
                needed.add(name)
        return [stage for name, stage in self._waiting.items() if name in needed and name not in blocked]

    def _start_ready(self) -> None:
        ready: list[Stage] = []
        for stage in self._wanted():
            room = self._executor.capacity
            if room is not None and len(self._running) + len(ready) >= room:
                break
            if not all(self._available(other) for other in stage.inputs.values()):
                continue
            if not self._look_up(stage):
                ready.append(stage)
        for stage in ready:
            del self._waiting[stage.folder_name]
            self._running[stage.folder_name] = stage
            say(f"{self._heads[stage.folder_name]} ...")
        if ready:
            self._executor.start(ready)

    def _available(self, stage: Stage) -> bool:
        if stage.folder_name in self._stages:
            return stage.folder_name in self._finished
        return self._store.state(stage) == "done"

    def _look_up(self, stage: Stage) -> bool:
        """Take a stage that is already in the store, after checking its files.

        A damaged one is moved aside with a message, so that the stage is made again.
        """
        state, head = self._store.state(stage), self._heads[stage.folder_name]
        if state in ("waiting", "started"):
            return False
        reason = self._store.damage(stage)
        if reason:
            where = set_aside(self._store.path(stage), self._run / DAMAGED)
            say(f"{head}: {reason}; the old files are kept in {where}, and the stage is made again")
            return False
        for path in damaged_clocks(self._store.path(stage)):
            where = set_aside(path, self._run / DAMAGED / stage.folder_name)
            say(f"{head}: {path} is damaged and its times are lost; the old file is kept in {where}")
        self._store.tidy(stage)
        del self._waiting[stage.folder_name]
        self._finished.add(stage.folder_name)
        say(f"{head}: in the store")
        return True

    def _take(self, end: StageEnd) -> None:
        stage = self._running.pop(end.folder_name)
        name, head = stage.folder_name, self._heads[stage.folder_name]
        if end.state == "done":
            self._finished.add(name)
            say(f"{head}: done in {end.seconds:.1f} s")
        elif end.state == "failed":
            self._fail(stage, end)
        elif self._asked_to_stop():
            if end.state == "stopped":
                self._stopped = end.reason
        elif end.state == "lost" and (losses := self._losses[name]) >= _MOST_LOSSES:
            reason = f"its process died {losses + 1} times; the last time: {end.reason}"
            self._fail(stage, StageEnd(name, "failed", reason=reason))
        else:
            self._losses[name] += end.state == "lost"
            say(f"{head}: {end.reason}; restarting it from where it stopped")
            self._waiting[name] = stage

    def _fail(self, stage: Stage, end: StageEnd) -> None:
        end = _record(self._run, stage, end)
        self._failed[stage.folder_name] = end
        say(f"{self._heads[stage.folder_name]}: FAILED: {end.reason}")


def _record(run: Path, stage: Stage, end: StageEnd) -> StageEnd:
    """Record why a stage failed; returns the end, whose reason points at the traceback if there is one.

    If even this cannot be written, the sentence is still printed on the terminal.
    """
    path = run / FAILED / f"{stage.folder_name}.json"
    if end.trace:
        end = replace(end, reason=f"{end.reason} (traceback in {path})")
    entry = {"title": stage.title, "reason": end.reason, "traceback": end.trace.splitlines()}
    with contextlib.suppress(EchoError):
        write_json(path, entry)
    return end


def failure_reasons(run: Path) -> dict[str, str]:
    """Why stages failed in the last attempt, by the name of their folder."""
    found: dict[str, Any] = {path.stem: read_json(path) for path in sorted((run / FAILED).glob("*.json"))}
    return {name: str(entry["reason"]) for name, entry in found.items()}


def _error_of(failed: Sequence[tuple[Stage, StageEnd]], num_blocked: int) -> EchoError:
    """One error for all stages that failed: an `InputError` if every one of them is the user's to fix."""
    kind = InputError if all(end.users for _, end in failed) else EchoError
    if len(failed) == 1:
        stage, end = failed[0]
        sentence = end.reason if end.users else f"'{stage.title}' failed: {end.reason}"
    else:
        lines = [f"'{stage.title}': {end.reason}" for stage, end in failed]
        sentence = f"{len(failed)} stages failed:\n  " + "\n  ".join(lines) + "\n "
    if num_blocked:
        what = "1 stage that needs it was" if num_blocked == 1 else f"{num_blocked} stages that need it were"
        sentence += f" ({what} not made; finished stages are kept)"
    return kind(sentence)
