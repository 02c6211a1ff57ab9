"""The state of every stage and leftover folder, and how a leftover differs from the current stage."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from echochamber.base import EchoError, read_json
from echochamber.study.driver import failure_reasons
from echochamber.study.run import Study
from echochamber.study.store import IDENTITY, MANIFEST, Stage, Store, identity, read_seconds

_MOST_CHANGES = 4
_ABSENT = object()


def status_rows(study: Study) -> list[dict[str, Any]]:
    """One row per stage of the plan, then one per folder that no stage of it owns."""
    stages, rows = list(study.plan.stages), []
    reasons = failure_reasons(study.folder)
    states = _states(stages, study.store, reasons)
    for stage in stages:
        state = states[stage.folder_name]
        folder = study.store.path(stage) if state == "done" else study.store.partial(stage)
        note = reasons[stage.folder_name] if state == "failed" else ""
        rows.append(_row(stage.title, state, read_seconds(folder), stage.folder_name, note))
    for path in study.store.leftovers(stages):
        title, note = _origin(path, stages)
        rows.append(_row(title, "unused", None, path.name, note))
    return rows


def _states(stages: Iterable[Stage], store: Store, failed: Iterable[str]) -> dict[str, str]:
    """State by folder name: the store's, or `failed`, or `blocked` for a stage that needs a failed one."""
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


def _row(stage: str, state: str, seconds: float | None, folder: str, note: str) -> dict[str, Any]:
    return {"stage": stage, "state": state, "seconds": seconds, "folder": folder, "note": note}


def _origin(folder: Path, stages: Sequence[Stage]) -> tuple[str, str]:
    """Which current stage a leftover folder is an older version of, and how they differ."""
    path = next((folder / name for name in (MANIFEST, IDENTITY) if (folder / name).is_file()), None)
    if path is None:
        return "made by another config", ""
    try:
        old = read_json(path)
        candidates = [s for s in stages if (s.kind, s.title) == (old["stage"], old["title"])]
        found = [differences(old, identity(stage)) for stage in candidates]
    except (EchoError, KeyError, TypeError, AttributeError) as error:
        return "made by another config", f"{path.name} cannot be read: {error}"
    if not found:
        return f"{old['title']} (no longer in the study)", ""
    changes = min(found, key=len)
    shown = ", ".join(changes[:_MOST_CHANGES])
    if len(changes) > _MOST_CHANGES:
        shown += f" and {len(changes) - _MOST_CHANGES} more"
    return f"older version of '{old['title']}'", f"changed: {shown}"


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What changed between two identities of a stage, as `key old -> new`."""
    changes = []
    if old["version"] != new["version"]:
        changes.append(f"how echochamber makes it (version {old['version']} -> {new['version']})")
    if old["seed"] != new["seed"]:
        changes.append(f"seed {old['seed']} -> {new['seed']}")
    before, after = dict(_leaves(old["config"])), dict(_leaves(new["config"]))
    data = False
    for key in dict.fromkeys((*before, *after)):
        a, b = before.get(key, _ABSENT), after.get(key, _ABSENT)
        if a == b:
            continue
        if key.split(".")[0] in ("files", "tokenizer_files", "modules"):
            data = True
            continue
        changes.append(f"{key} {_shown(a)} -> {_shown(b)}")
    if data:
        changes.append("the content of the files it reads")
    inputs = [name for name, folder in new["inputs"].items() if old["inputs"].get(name) != folder]
    return changes + [f"its input '{name}'" for name in inputs]


def _leaves(value: Any, prefix: str = "") -> Iterable[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def _shown(value: Any) -> str:
    if value is _ABSENT:
        return "unset"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."
