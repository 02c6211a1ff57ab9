"""Brings the stages of a plan into the store: each when its inputs are there, whatever happens to others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from echochamber.base import Interrupted, set_aside, stop_requested
from echochamber.study import failures
from echochamber.study.clocks import spoilt_clocks
from echochamber.study.executors import Executor, Outcome
from echochamber.study.store import Stage, Store

Say = Callable[[str], None]

# Where a run folder keeps what was found damaged, for people to look at or remove.
DAMAGED = "damaged"

# How often a stage is started again after its process died without a word.
_MOST_LOSSES = 3


class Driver:
    """Hands ready stages to an executor until nothing is left that can be made.

    A stage that failed blocks only what needs it. Stages that nothing but blocked ones would use are not
    made either.

    Args:
        stages: in an order in which each finds its inputs; inputs outside of it must be in the store.
        run: the run folder, where failures are written down.
    """

    def __init__(
        self, stages: Sequence[Stage], store: Store, run: Path, executor: Executor, say: Say
    ) -> None:
        self._store, self._run, self._executor, self._say = store, run, executor, say
        self._stages = {stage.folder_name: stage for stage in stages}
        self._heads = {
            stage.folder_name: f"[{number}/{len(stages)}] {stage.title}"
            for number, stage in enumerate(stages, 1)
        }
        self._waiting = dict(self._stages)
        self._running: dict[str, Stage] = {}
        self._finished: set[str] = set()
        self._failed: dict[str, Outcome] = {}
        self._losses: Counter[str] = Counter()
        self._stopped = ""

    def run(self) -> None:
        """Make everything that can be made.

        Raises:
            Interrupted: a signal asked to stop; what is finished stays, and other stages can go on.
            EchoError: stages failed; the others are made.
        """
        failures.forget(self._run)
        while True:
            if not self._asked_to_stop():
                self._start_ready()
            if not self._running:
                break
            for outcome in self._executor.wait():
                self._take(outcome)
        if self._stopped:
            raise Interrupted(self._stopped)
        if self._failed:
            failed = [(self._stages[name], outcome) for name, outcome in self._failed.items()]
            raise failures.error_of(failed, len(self._blocked()))

    def _asked_to_stop(self) -> bool:
        if (name := stop_requested()) and not self._stopped:
            titles = [stage.title for stage in (*self._running.values(), *self._waiting.values())]
            if not titles:
                return True
            self._stopped = f"{name}: stopped before '{titles[0]}'; run the same command again to go on"
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
        """Waiting stages that are not blocked and lead to something that is not."""
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
            self._say(f"{self._heads[stage.folder_name]} ...")
        if ready:
            self._executor.start(ready)

    def _available(self, stage: Stage) -> bool:
        if stage.folder_name in self._stages:
            return stage.folder_name in self._finished
        return self._store.state(stage) == "done"

    def _look_up(self, stage: Stage) -> bool:
        """Take a stage that lies in the store already, once its files are checked.

        A damaged one is moved aside, aloud, so that the stage is made again.
        """
        state, head = self._store.state(stage), self._heads[stage.folder_name]
        if state in ("waiting", "started"):
            return False
        reason = self._store.damage(stage)
        if reason:
            where = set_aside(self._store.path(stage), self._run / DAMAGED)
            self._say(f"{head}: {reason}; what was there lies in {where} now, the stage is made again")
            return False
        for path in spoilt_clocks(self._store.path(stage)):
            where = set_aside(path, self._run / DAMAGED / stage.folder_name)
            self._say(f"{head}: {path} is damaged, its times are lost; what was there lies in {where} now")
        self._store.tidy(stage)
        del self._waiting[stage.folder_name]
        self._finished.add(stage.folder_name)
        self._say(f"{head}: in the store")
        return True

    def _take(self, outcome: Outcome) -> None:
        stage = self._running.pop(outcome.folder_name)
        name, head = stage.folder_name, self._heads[stage.folder_name]
        if outcome.state == "done":
            self._finished.add(name)
            self._say(f"{head}: done in {outcome.seconds:.1f} s")
        elif outcome.state == "failed":
            self._fail(stage, outcome)
        elif self._asked_to_stop():
            if outcome.state == "stopped":
                self._stopped = outcome.reason
        elif outcome.state == "lost" and (losses := self._losses[name]) >= _MOST_LOSSES:
            reason = f"its process died {losses + 1} times; the last time: {outcome.reason}"
            self._fail(stage, Outcome(name, "failed", reason=reason))
        else:
            self._losses[name] += outcome.state == "lost"
            self._say(f"{head}: {outcome.reason}; starting it again where it stopped")
            self._waiting[name] = stage

    def _fail(self, stage: Stage, outcome: Outcome) -> None:
        outcome = failures.record(self._run, stage, outcome)
        self._failed[stage.folder_name] = outcome
        self._say(f"{self._heads[stage.folder_name]}: FAILED: {outcome.reason}")
