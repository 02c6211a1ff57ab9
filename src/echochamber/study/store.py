"""The content-addressed store: a finished stage is a folder named by everything that determines it."""

from __future__ import annotations

import json
import math
import os
import platform
import shutil
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy

from echochamber import __version__, train
from echochamber.base import (
    EchoError,
    InputError,
    digest,
    digest_file,
    explained_write,
    fault_point,
    publish_folder,
    read_json,
    write_json,
)
from echochamber.base.lazy import torch
from echochamber.evaluation import SCHEMA

# Where a run folder keeps damaged files, for people to look at or remove.
DAMAGED = "damaged"
MANIFEST = "manifest.json"
CODE = "code.json"
IDENTITY = "stage.json"
# Files with wall-clock times lie beside the results of a stage and are not part of them.
SECONDS, TIMING = "seconds.json", "timing.jsonl"
CLOCK_FILES = (TIMING, SECONDS)
# What an interrupted stage needs to continue and a finished one does not.
SCRATCH = ("checkpoints", "verdicts*.jsonl", CODE, IDENTITY)
# Rooms that only show results: a change there cannot make an unfinished stage inconsistent.
_SHOWING_ROOMS = ("analysis", "bench", "cli", "report")


@dataclass(frozen=True, eq=False)
class Stage:
    """One step of a plan.

    Attributes:
        kind: name of the stage function, e.g. `"pretrain"`.
        title: its name for display, e.g. `"pretrain pico on even, seed 0"`.
        version: raised when the function's results change.
        config: plain data that affects the results.
        inputs: stages whose folders it reads.
        seed: root of its randomness.
        modules: user modules to import before it runs (their digests are in `config`).
        settings: settings that do not influence its results, e.g. `checkpoint_every`.
    """

    kind: str
    title: str
    version: int
    config: dict[str, Any]
    inputs: dict[str, Stage] = field(default_factory=dict)
    seed: int = 0
    modules: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        """Digest of kind, version, config, input keys and seed."""
        return digest(
            {
                "stage": self.kind,
                "version": self.version,
                "config": self.config,
                "inputs": {name: stage.key for name, stage in self.inputs.items()},
                "seed": self.seed,
            }
        )[:16]

    @property
    def folder_name(self) -> str:
        """`<stage>-<key>`."""
        return f"{self.kind}-{self.key}"


@lru_cache(maxsize=1)
def environment() -> dict[str, Any]:
    """What could make the same config give different bits on another machine."""
    world = train.start_world()
    on_gpu = world.device.type == "cuda"
    return {
        "echochamber": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "threads": torch.get_num_threads(),
        "processes": world.size,
        "device": torch.cuda.get_device_name(world.device) if on_gpu else "cpu",
        "machine": platform.machine(),
        "system": platform.system(),
        "cores": os.cpu_count(),
    }


@lru_cache(maxsize=2)
def code_digests(*, showing: bool = False) -> dict[str, str]:
    """Digest of every source file that can influence a stage's result, by name within the package.

    Args:
        showing: all files instead, including those that only show results.
    """
    package = Path(__file__).parents[1]
    return {
        str(path.relative_to(package)): digest_file(path)
        for path in sorted(package.rglob("*"))
        if path.suffix in (".py", ".j2", ".css", ".js")
        and (showing or path.relative_to(package).parts[0] not in _SHOWING_ROOMS)
    }


def identity(stage: Stage) -> dict[str, Any]:
    """What identifies a stage: everything its key digests, and its title."""
    return {
        "stage": stage.kind,
        "title": stage.title,
        "version": stage.version,
        "key": stage.key,
        "config": stage.config,
        "inputs": {name: other.folder_name for name, other in stage.inputs.items()},
        "seed": stage.seed,
    }


class Store:
    """The stage folders of one study.

    Args:
        folder: `runs/<study>/store`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, stage: Stage) -> Path:
        """The folder of a finished stage."""
        return self.folder / stage.folder_name

    def partial(self, stage: Stage) -> Path:
        """The folder of an unfinished stage; it survives restarts."""
        return self.folder / (stage.folder_name + ".partial")

    def lock(self, stage: Stage) -> Path:
        """The file that keeps two processes from making the same stage."""
        return self.folder / (stage.folder_name + ".lock")

    def state(self, stage: Stage) -> str:
        """`"done"`, `"started"`, `"waiting"`, or `"damaged"` if its folder is not a finished stage."""
        manifest = self.path(stage) / MANIFEST
        if os.path.isfile(manifest):  # noqa: PTH113 - no error where the folder cannot be entered
            return "done"
        if os.path.lexists(self.path(stage)):
            return "damaged"
        return "started" if self.partial(stage).is_dir() else "waiting"

    def damage(self, stage: Stage) -> str:
        """What is wrong with a finished stage, in words; empty if every file matches its manifest.

        A stage that was made from other results than its inputs hold now is also wrong: an input was made
        again and came out differently on this machine. A stage of an older schema is accepted: if the form of
        its results has changed since, so has its key.

        Raises:
            InputError: a newer version of echochamber finished it.
        """
        folder = self.path(stage)
        try:
            manifest = read_json(folder / MANIFEST)
        except EchoError as error:
            return str(error)
        if not isinstance(manifest, dict) or manifest.pop("sha256", "") != digest(manifest):
            return f"{folder / MANIFEST} is damaged"
        if (schema := manifest.get("schema", 1)) > SCHEMA:
            raise InputError(
                f"{folder} was finished by a newer version of echochamber (schema {schema}, while this one "
                f"reads {SCHEMA}); use that version, or give this run its own folder with --runs"
            )
        for name, facts in manifest["files"].items():
            path = folder / name
            try:
                if not path.is_file():
                    return f"{path} is missing"
                if path.stat().st_size != facts["bytes"] or digest_file(path) != facts["sha256"]:
                    return f"{path} is damaged"
            except OSError as error:
                return f"{path} cannot be read: {error.strerror}"
        for name, content in manifest.get("made_from", {}).items():
            other = stage.inputs[name]
            if self._content(other) != content:
                return f"{folder} was made from an earlier result of '{other.title}'"
        return ""

    def _content(self, stage: Stage) -> str:
        """Digest of the files of a finished stage, independent of where and by which version it was made."""
        return digest(read_json(self.path(stage) / MANIFEST)["files"])

    def require(self, stage: Stage) -> Path:
        """The folder of a finished stage, for readers outside the study's own run; every file is checked.

        Raises:
            InputError: the stage is not finished, or its files have changed since.
        """
        if self.state(stage) != "done":
            raise InputError(f"'{stage.title}' is not finished; run the study first: echochamber run")
        if reason := self.damage(stage):
            raise InputError(f"{reason}; run the study again to make '{stage.title}' again")
        return self.path(stage)

    def begin(self, stage: Stage) -> Path:
        """The folder to work in, with whatever an interrupted run left there.

        Raises:
            InputError: another version of the code began the stage (a result must come from one version), or
                what that run left cannot be read.
        """
        partial = self.partial(stage)
        with explained_write(partial):
            partial.mkdir(parents=True, exist_ok=True)
        record = partial / CODE
        if not (partial / IDENTITY).exists():
            write_json(partial / IDENTITY, identity(stage))
        if not record.exists():
            write_json(record, code_digests())
        elif (began := self._begun_by(stage)) != code_digests():
            now = code_digests()
            changed = sorted(name for name in began.keys() | now.keys() if began.get(name) != now.get(name))
            shown = ", ".join(changed[:5]) + (f" and {len(changed) - 5} more" if len(changed) > 5 else "")
            raise InputError(
                f"'{stage.title}' was half finished by another version of the code (changed since: {shown}). "
                f"Remove {partial} to make that stage again, use --force to start the study over, or return "
                "to the version that began it"
            )
        return partial

    def _begun_by(self, stage: Stage) -> dict[str, str]:
        """Digests of the code that began an unfinished stage."""
        try:
            found: dict[str, str] = read_json(self.partial(stage) / CODE)
        except EchoError as error:
            raise InputError(f"{error}; remove {self.partial(stage)} to make that stage again") from error
        return found

    def finish(self, stage: Stage) -> Path:
        """Write the manifest unless a killed process already did, then give the folder its final name.

        Raises:
            EchoError: the folder could not be written.
        """
        if self.complete(stage):
            return self._promote(stage)
        partial = self.partial(stage)
        with explained_write(partial):
            for path in sorted(partial.rglob("*.tmp")):
                # Left by a kill in the middle of an atomic write.
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            files = {}
            for path in sorted(partial.rglob("*")):
                name = path.relative_to(partial)
                scratch = any(fnmatch(name.parts[0], pattern) for pattern in SCRATCH)
                if path.is_file() and not scratch and name.parts[0] not in (MANIFEST, *CLOCK_FILES):
                    files[str(name)] = {"bytes": path.stat().st_size, "sha256": digest_file(path)}
            manifest = {
                "schema": SCHEMA,
                **identity(stage),
                "files": files,
                "made_from": {name: self._content(other) for name, other in stage.inputs.items()},
                "environment": environment(),
            }
            fault_point("stage.before_manifest")
        write_json(partial / MANIFEST, {**manifest, "sha256": digest(manifest)})
        return self._promote(stage)

    def complete(self, stage: Stage) -> bool:
        """Whether the unfinished folder is complete except for its final name."""
        return (self.partial(stage) / MANIFEST).is_file()

    def _promote(self, stage: Stage) -> Path:
        """Remove what only an interrupted run needs, then rename the complete folder."""
        partial = self.partial(stage)
        with explained_write(partial):
            for pattern in SCRATCH:
                fault_point("stage.before_discard")
                for path in partial.glob(pattern):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        publish_folder(partial, self.path(stage))
        return self.path(stage)

    def discard(self, stage: Stage) -> None:
        """Remove a stage, finished or not."""
        for folder in (self.path(stage), self.partial(stage)):
            shutil.rmtree(folder, ignore_errors=True)

    def tidy(self, stage: Stage) -> None:
        """Remove the lock file that a kill just after a stage was finished leaves behind."""
        if self.lock(stage).is_file():
            self.lock(stage).unlink()

    def leftovers(self, stages: list[Stage]) -> list[Path]:
        """Folders in the store that no stage of the plan owns: results of an older config."""
        if not self.folder.is_dir():
            return []
        owned = {stage.folder_name for stage in stages} | {stage.folder_name + ".partial" for stage in stages}
        return sorted(path for path in self.folder.iterdir() if path.is_dir() and path.name not in owned)


def read_seconds(folder: Path) -> float | None:
    """Compute seconds that a stage has taken so far, over all its runs; None if unknown."""
    try:
        found = read_json(folder / SECONDS)
    except EchoError:
        return None
    return float(found["seconds"]) if _is_clock(found) else None


def write_seconds(folder: Path, seconds: float) -> None:
    """Record the compute seconds of a stage, over all its runs."""
    write_json(folder / SECONDS, {"seconds": seconds})


def damaged_clocks(folder: Path) -> list[Path]:
    """The clock files of a stage that exist but cannot be read."""
    damaged = [folder / SECONDS] if read_seconds(folder) is None else []
    try:
        lines = (folder / TIMING).read_text(encoding="utf-8").splitlines()
        if not all(_is_clock(json.loads(line)) for line in lines):
            damaged.append(folder / TIMING)
    except (OSError, ValueError):
        damaged.append(folder / TIMING)
    return [path for path in damaged if path.exists()]


def _is_clock(row: Any) -> bool:
    """Whether a row states how many seconds something took."""
    if not isinstance(row, dict):
        return False
    seconds, step = row.get("seconds"), row.get("step", 0)
    timed = isinstance(seconds, int | float) and math.isfinite(seconds)
    return timed and (step is None or isinstance(step, int))
