"""What went wrong with stages of a run: one small file each, so that `status` can say it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from echochamber.base import EchoError, InputError, read_json, write_json
from echochamber.study.executors import Outcome
from echochamber.study.store import Stage, Store

FOLDER = "failed"


def forget(run: Path) -> None:
    """Remove the records of an earlier attempt."""
    shutil.rmtree(run / FOLDER, ignore_errors=True)


def record(run: Path, stage: Stage, outcome: Outcome) -> Outcome:
    """Write down why a stage failed; returns the outcome, its reason pointing at the traceback if it has one.

    A disk that refuses even this leaves the sentence on the terminal.
    """
    path = run / FOLDER / f"{stage.folder_name}.json"
    if outcome.trace:
        outcome = replace(outcome, reason=f"{outcome.reason} (traceback in {path})")
    entry = {"title": stage.title, "reason": outcome.reason, "traceback": outcome.trace.splitlines()}
    with contextlib.suppress(EchoError):
        write_json(path, entry)
    return outcome


def reasons(run: Path) -> dict[str, str]:
    """Why stages failed at the last attempt, by the name of their folder."""
    found: dict[str, Any] = {path.stem: read_json(path) for path in sorted((run / FOLDER).glob("*.json"))}
    return {name: str(entry["reason"]) for name, entry in found.items()}


def states(stages: Iterable[Stage], store: Store, failed: Iterable[str]) -> dict[str, str]:
    """State by folder name: the store's, or `failed`, or `blocked` for what needs a failed stage."""
    broken = set(failed)
    found: dict[str, str] = {}
    for stage in stages:
        state = store.state(stage)
        if state != "done" and stage.folder_name in broken:
            state = "failed"
        elif state != "done" and any(
            found.get(other.folder_name) in ("failed", "blocked") for other in stage.inputs.values()
        ):
            state = "blocked"
        found[stage.folder_name] = state
    return found


def error_of(failed: Sequence[tuple[Stage, Outcome]], num_blocked: int) -> EchoError:
    """One error for all stages that failed: the user's if every one of them is."""
    kind = InputError if all(outcome.users for _, outcome in failed) else EchoError
    if len(failed) == 1:
        stage, outcome = failed[0]
        sentence = outcome.reason if outcome.users else f"'{stage.title}' failed: {outcome.reason}"
    else:
        lines = [f"'{stage.title}': {outcome.reason}" for stage, outcome in failed]
        sentence = f"{len(failed)} stages failed:\n  " + "\n  ".join(lines) + "\n "
    if num_blocked:
        what = "1 stage that needs it was" if num_blocked == 1 else f"{num_blocked} stages that need it were"
        sentence += f" ({what} not made; finished stages are kept)"
    return kind(sentence)
