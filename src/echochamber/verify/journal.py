"""Results of programs, stored by the program's digest: on disk for replay, in memory for speed.

Time limits are the only part of a run that depends on the machine's load. A journaled result is used again
instead of being measured again, so a replay gives the same rewards under any load.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from echochamber.base import explained_write, fsync_folder, warn
from echochamber.verify.channel import checked, message_of
from echochamber.verify.outcomes import Execution, ExecutionLimits

# Part of every key: raise it when a change in how programs are prepared or run changes their results.
_VERSION = 2
_MAX_REMEMBERED = 200_000


class Journal:
    """Results by key; appended to a file, one line each, made durable once per batch.

    Lines are read as strictly as messages from a sandbox: one that states no result is skipped with a
    warning, and its program runs again. A last line cut off by a kill is dropped.

    Args:
        path: the file, created with its folder when the first result is added; None keeps memory only.
    """

    def __init__(self, path: Path | None, limits: ExecutionLimits) -> None:
        self.path = path
        versions = [
            platform.python_version(),
            *(version(name) for name in ("pydantic-monty", "sympy", "numpy")),
        ]
        self._prefix = json.dumps([_VERSION, versions, asdict(limits)], sort_keys=True)
        self._known: dict[str, Execution] = {}
        if path is not None and path.exists():
            self._read(path)

    def key(self, tier: int, source: str) -> str:
        """Digest of a program with the limits and versions it runs under."""
        text = f"{self._prefix}\0{tier}\0{source}"
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

    def get(self, key: str) -> Execution | None:
        """The result stored under a key."""
        return self._known.get(key)

    def add(self, results: dict[str, Execution]) -> None:
        """Store results, durably if there is a file; returns once they would survive a power cut."""
        if not results:
            return
        if self.path is None and len(self._known) + len(results) > _MAX_REMEMBERED:
            self._known.clear()
        self._known.update(results)
        if self.path is None:
            return
        lines = "".join(json.dumps({"key": key, **asdict(result)}) + "\n" for key, result in results.items())
        with explained_write(self.path):
            is_new = not self.path.exists()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as stream:
                stream.write(lines.encode())
                stream.flush()
                os.fsync(stream.fileno())
            if is_new:
                fsync_folder(self.path.parent)

    def _read(self, path: Path) -> None:
        data = path.read_bytes()
        complete = data.rfind(b"\n") + 1
        if complete < len(data):
            with explained_write(path), path.open("r+b") as stream:
                stream.truncate(complete)
        unreadable = []
        for number, line in enumerate(data[:complete].splitlines(), start=1):
            row = message_of(line)
            result, key = checked(row), row.get("key") if isinstance(row, dict) else None
            if result is None or not isinstance(key, str):
                unreadable.append(number)
                continue
            # The first result counts, because a training step may have used it.
            self._known.setdefault(key, result)
        if unreadable:
            warn(
                f"{path}: {len(unreadable)} lines hold no result of a program (the first is line "
                f"{unreadable[0]}); their programs run again"
            )
