"""Checkpoints that appear whole or not at all, and are verified before they are used.

Writing: temporary folder; write and fsync each file; MANIFEST.json (sizes, SHA-256, fingerprints of what
the run depends on); fsync the folder; rename; fsync the parent; retire old ones by rename, then delete.
Reading: the newest one whose every byte matches its manifest; a damaged one is set aside with a warning.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from echochamber.base import (
    EchoError,
    canonical_json,
    digest,
    digest_file,
    explained_write,
    fault_point,
    fsync_folder,
    warn,
)
from echochamber.base.lazy import torch
from echochamber.train.tensorfile import read_tensors, write_tensors

if TYPE_CHECKING:
    from torch import Tensor

MANIFEST = "MANIFEST.json"
VALUES = "values.json"
_TEMPORARY, _RETIRED, _DAMAGED = ".new-", ".old-", "damaged-"


@dataclass(frozen=True)
class Retention:
    """Which checkpoints stay on disk while a stage runs.

    Attributes:
        last: how many of the newest ones.
        log_spaced: also the first of each range of steps [1, 2), [2, 4), [4, 8), ...
    """

    last: int = 2
    log_spaced: bool = True

    def keep(self, steps: Iterable[int]) -> set[int]:
        """Which of the existing steps stay."""
        ordered = sorted(steps)
        kept = set(ordered[-max(1, self.last) :])
        if self.log_spaced:
            first: dict[int, int] = {}
            for step in ordered:
                first.setdefault(step.bit_length(), step)
            kept.update(first.values())
        return kept


@dataclass(frozen=True)
class Checkpoint:
    """Everything a run needs to continue after `step` completed steps.

    Attributes:
        tensors: groups of named tensors; each group is one safetensors file.
        values: plain data, stored as JSON.
    """

    step: int
    tensors: dict[str, dict[str, Tensor]]
    values: dict[str, Any]
    path: Path = field(default_factory=Path)


class _Damaged(Exception):
    """Why a checkpoint on disk cannot be trusted."""


def _delete(folder: Path) -> None:
    """Delete a flat folder file by file."""
    for path in sorted(folder.iterdir()):
        path.unlink()
        fault_point("checkpoint.mid_delete")
    folder.rmdir()
    fault_point("checkpoint.after_delete")


def _retire(path: Path) -> None:
    """Hide a checkpoint by renaming it, then delete it."""
    fault_point("checkpoint.before_retire")
    retired = path.with_name(_RETIRED + path.name)
    path.rename(retired)
    fault_point("checkpoint.after_retire")
    _delete(retired)


def _sweep(folder: Path) -> None:
    """Remove checkpoints that a kill left half written or half deleted."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith((_TEMPORARY, _RETIRED)):
            _delete(path)


def _steps(folder: Path) -> dict[int, Path]:
    found = {}
    for path in folder.iterdir() if folder.is_dir() else ():
        number = path.name.removeprefix("step-")
        if path.name.startswith("step-") and number.isdigit():
            found[int(number)] = path
    return found


def _environment() -> dict[str, str]:
    return {"torch": torch.__version__, "threads": str(torch.get_num_threads())}


def _write_bytes(path: Path, data: bytes) -> None:
    with path.open("wb") as stream:
        half = len(data) // 2
        stream.write(data[:half])
        stream.flush()
        fault_point("checkpoint.mid_write")
        stream.write(data[half:])
        stream.flush()
        fault_point("checkpoint.before_fsync")
        os.fsync(stream.fileno())


def _fill(folder: Path, checkpoint: Checkpoint, fingerprints: Mapping[str, str]) -> bytes:
    """Write all files of a checkpoint into `folder`; returns the manifest's bytes."""
    files: dict[str, dict[str, int | str]] = {}
    for group, tensors in sorted(checkpoint.tensors.items()):
        size, sha256 = write_tensors(folder / f"{group}.safetensors", tensors)
        files[f"{group}.safetensors"] = {"bytes": size, "sha256": sha256}
        fault_point("checkpoint.after_file")
    text = canonical_json(checkpoint.values).encode()
    _write_bytes(folder / VALUES, text)
    files[VALUES] = {"bytes": len(text), "sha256": digest_file(folder / VALUES)}
    body = {
        "version": 1,
        "step": checkpoint.step,
        "fingerprints": dict(fingerprints),
        "environment": _environment(),
        "files": files,
    }
    manifest = (json.dumps({**body, "sha256": digest(body)}, indent=1, sort_keys=True) + "\n").encode()
    fault_point("checkpoint.before_manifest")
    _write_bytes(folder / MANIFEST, manifest)
    return manifest


def save_checkpoint(
    folder: Path,
    step: int,
    *,
    tensors: Mapping[str, Mapping[str, Tensor]],
    values: Mapping[str, Any] | None = None,
    fingerprints: Mapping[str, str] | None = None,
    retention: Retention | None = None,
) -> Path:
    """Write a checkpoint atomically and durably to `folder/step-<step>`, then apply the retention.

    Args:
        step: number of completed steps.
        tensors: groups of named tensors, e.g. `{"policy": model.state_dict()}`.
        values: JSON-able data.
        fingerprints: what must be the same in a run that resumes from here, e.g. `{"config": digest}`.
        retention: which older checkpoints stay; default `Retention()`.

    Returns:
        The folder of the checkpoint.

    Raises:
        EchoError: the disk refused; the earlier checkpoints are untouched.
    """
    checkpoint = Checkpoint(step, {k: dict(v) for k, v in tensors.items()}, dict(values or {}))
    final = folder / f"step-{step:08d}"
    temporary = folder / (_TEMPORARY + final.name)
    with explained_write(final):
        fault_point("checkpoint.before_mkdir")
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        temporary.mkdir()
        fault_point("checkpoint.after_mkdir")
        manifest = _fill(temporary, checkpoint, fingerprints or {})
        fault_point("checkpoint.before_folder_fsync")
        fsync_folder(temporary)
        if final.exists():
            if (final / MANIFEST).exists() and (final / MANIFEST).read_bytes() == manifest:
                _delete(temporary)
                return final
            _retire(final)
        fault_point("checkpoint.before_rename")
        temporary.rename(final)
        fault_point("checkpoint.after_rename")
        fsync_folder(folder)
        present = _steps(folder)
        kept = (retention or Retention()).keep(present)
        for old in sorted(set(present) - kept):
            _retire(present[old])
    return final


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((path / MANIFEST).read_bytes())
        body = {key: value for key, value in manifest.items() if key != "sha256"}
        if manifest.get("sha256") != digest(body) or not isinstance(manifest["files"], dict):
            raise _Damaged(f"{MANIFEST} does not match its own digest")
    except FileNotFoundError as error:
        raise _Damaged(f"{MANIFEST} is missing") from error
    except (ValueError, AttributeError, KeyError) as error:
        raise _Damaged(f"{MANIFEST} cannot be read: {error}") from error
    return body


def _check_files(path: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    for name, expected in files.items():
        file = path / name
        if not file.is_file():
            raise _Damaged(f"{name} is missing")
        if file.stat().st_size != expected["bytes"]:
            raise _Damaged(f"{name} has {file.stat().st_size} bytes instead of {expected['bytes']}")
        if digest_file(file) != expected["sha256"]:
            raise _Damaged(f"the content of {name} does not match its digest")


def _check_fingerprints(path: Path, found: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    changed = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
    if changed:
        raise EchoError(
            f"{path} was written by a run with another {' and '.join(changed)}; "
            "undo the change to continue, or start over with --force"
        )


def _load(path: Path, step: int, fingerprints: Mapping[str, str]) -> Checkpoint:
    try:
        manifest = _read_manifest(path)
        _check_files(path, manifest["files"])
        if manifest["step"] != step:
            raise _Damaged(f"it is named step {step} and holds step {manifest['step']}")
        _check_fingerprints(path, manifest["fingerprints"], fingerprints)
        checkpoint = load_checkpoint(path)
    except OSError as error:
        if error.errno != errno.EIO:
            raise EchoError(f"cannot read {path}: {os.strerror(error.errno or 0)}") from error
        raise _Damaged("the disk cannot read it") from error
    changed = [k for k, v in _environment().items() if manifest["environment"].get(k) != v]
    if changed:
        warn(
            f"{path.name} was written with "
            + " and ".join(f"{k} {manifest['environment'].get(k)} (now {_environment()[k]})" for k in changed)
            + "; the run continues, but is not byte-identical to an undisturbed one"
        )
    return checkpoint


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint that has been verified."""
    tensors = {file.stem: read_tensors(file) for file in sorted(path.glob("*.safetensors"))}
    values = json.loads((path / VALUES).read_bytes())
    return Checkpoint(int(path.name.removeprefix("step-")), tensors, values, path)


def restore(
    folder: Path,
    *,
    fingerprints: Mapping[str, str] | None = None,
    objection: Callable[[Checkpoint], str] | None = None,
) -> Checkpoint | None:
    """The newest valid checkpoint below `folder`, or None.

    A damaged checkpoint, or one that `objection` rejects (by returning a nonempty sentence), is renamed
    to `damaged-step-...` with a warning, and the next older one is tried.

    Raises:
        EchoError: the newest valid checkpoint has other fingerprints (nothing was touched), or the folder
            cannot be read or written.
    """
    if not folder.is_dir():
        return None
    with explained_write(folder):
        _sweep(folder)
    for step, path in sorted(_steps(folder).items(), reverse=True):
        try:
            checkpoint = _load(path, step, fingerprints or {})
            reason = objection(checkpoint) if objection else ""
            if not reason:
                return checkpoint
        except _Damaged as error:
            reason = str(error)
        _set_aside(path, reason)
    return None


def _set_aside(path: Path, reason: str) -> None:
    aside = path.with_name(_DAMAGED + path.name)
    with explained_write(path):
        if aside.exists():
            _delete(aside)
        fault_point("checkpoint.before_quarantine")
        path.rename(aside)
        fsync_folder(path.parent)
    warn(f"checkpoint {path} cannot be used: {reason}. Renamed to {aside.name}; falling back to an older one")


def newest(folder: Path) -> Path | None:
    """The checkpoint with the highest step, not verified."""
    found = _steps(folder)
    return found[max(found)] if found else None
