"""Progress of long work: a bar with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from echochamber.base.messages import draws_progress, say

PLAIN_LINE_SECONDS = 10.0


class Progress(Protocol):
    """What long-running work reports its progress to."""

    def update(self, completed: int, **fields: float | str) -> None:
        """`completed` units are done in total; `fields` are shown beside the bar."""


def _shown(fields: dict[str, float | str]) -> str:
    parts = []
    for name, value in fields.items():
        text = f"{value:,.0f}" if isinstance(value, float) and abs(value) >= 1000 else value
        text = f"{text:.3g}" if isinstance(text, float) else str(text)
        parts.append(f"{name.replace('_', ' ')} {text}")
    return "  ".join(parts)


class _PlainProgress:
    def __init__(self, label: str, total: int) -> None:
        self.label, self.total = label, total
        self.start = self.last = time.monotonic()
        self.first: int | None = None

    def update(self, completed: int, **fields: float | str) -> None:
        now = time.monotonic()
        if self.first is None:
            # A resumed stage begins part of the way through: the rate counts only this process's work.
            self.first = max(0, completed - 1)
        if now - self.last < PLAIN_LINE_SECONDS and completed < self.total:
            return
        self.last = now
        done = completed - self.first
        left = (now - self.start) / done * (self.total - completed) if done > 0 else float("nan")
        say(f"{self.label}: {completed}/{self.total}  {_shown(fields)}  {left:.0f} s left")


class _RichProgress:
    def __init__(self, bar: Any, task: Any) -> None:
        self._bar, self._task = bar, task

    def update(self, completed: int, **fields: float | str) -> None:
        self._bar.update(self._task, completed=completed, shown=_shown(fields))


class _NoProgress:
    def update(self, completed: int, **fields: float | str) -> None:
        """Nobody watches."""


@contextmanager
def no_progress(label: str, total: int) -> Iterator[Progress]:
    """Replaces `progress` where nothing should be shown, e.g. while a clock is running."""
    yield _NoProgress()


@contextmanager
def progress(label: str, total: int) -> Iterator[Progress]:
    """Report work of `total` units under `label` for the length of the block."""
    if not draws_progress():
        yield _PlainProgress(label, total)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichBar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[shown]}"),
    )
    with RichBar(*columns) as bar:
        yield _RichProgress(bar, bar.add_task(label, total=total, shown=""))
