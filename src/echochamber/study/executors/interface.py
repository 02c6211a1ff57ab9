"""What the driver of a study asks of a place where stages run."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from echochamber.study.executors.job import Outcome
from echochamber.study.store import Stage


class Executor(Protocol):
    """Runs stages whose inputs are finished; enter it before the first, leave it after the last.

    Attributes:
        capacity: stages that may be under way at once; None leaves that to the scheduler.
    """

    capacity: int | None

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End whatever still runs, at once."""

    def start(self, stages: Sequence[Stage]) -> None:
        """Begin stages that are ready together."""

    def wait(self) -> list[Outcome]:
        """The stages that have ended since the last call; returns within about a second of anything new."""

    def stop(self) -> None:
        """Ask every stage under way to leave a checkpoint and end; `wait` still reports each."""
