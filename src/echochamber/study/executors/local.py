"""Stages one after another in this process; the default."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from echochamber.study.executors.job import Outcome, attempt
from echochamber.study.store import Stage, Store


class LocalExecutor:
    """Runs a stage when it is waited for. Ctrl-C reaches it directly."""

    capacity: int | None = 1

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ready: deque[Stage] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ready.clear()

    def start(self, stages: Sequence[Stage]) -> None:
        """Put stages in line."""
        self._ready.extend(stages)

    def wait(self) -> list[Outcome]:
        """Make the first stage in line."""
        return [attempt(self._ready.popleft(), self._store)] if self._ready else []

    def stop(self) -> None:
        """Nothing to pass on: the stage under way polls the same request as the driver."""
