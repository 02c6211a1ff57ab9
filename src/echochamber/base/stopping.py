"""Ctrl-C and SIGTERM: once, finish the step and leave a checkpoint; twice, stop now."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from echochamber.base.errors import Interrupted
from echochamber.base.messages import warn

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _State:
    installed = False
    requested = ""
    flag: Path | None = None


def stop_requested() -> str:
    """What asked this run to stop (`"SIGINT"`), or an empty string."""
    if not _State.requested and _State.flag is not None and _State.flag.exists():
        _State.requested = "a request to stop"
    return _State.requested


def _on_signal(number: int, frame: FrameType | None) -> None:
    name = signal.Signals(number).name
    if _State.requested:
        raise Interrupted(
            f"stopped at once by a second {name}; the same command resumes from the last checkpoint"
        )
    _State.requested = name
    warn(f"{name}: finishing this step first; a second one stops now")


@contextmanager
def stop_signals(*, also: Sequence[signal.Signals] = (), flag: Path | None = None) -> Iterator[None]:
    """Turn SIGINT and SIGTERM into a request that loops poll with `stop_requested`.

    A second signal raises `Interrupted` wherever the program is. Blocks may be nested: only the
    outermost one installs handlers and restores the earlier ones. Outside the main thread, where
    Python cannot install any, this does nothing.

    Args:
        also: further signals that ask for the same, e.g. a scheduler's warning before it ends a job.
        flag: a file whose appearance asks for the same, for processes that no signal reaches.
    """
    if _State.installed or threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (*_STOP_SIGNALS, *also)
    previous = {number: signal.getsignal(number) for number in numbers}
    _State.installed, _State.requested, _State.flag = True, "", flag
    try:
        for number in numbers:
            signal.signal(number, _on_signal)
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        _State.installed, _State.requested, _State.flag = False, "", None
