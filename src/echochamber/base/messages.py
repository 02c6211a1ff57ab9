"""The one way to speak to the user: lines on the terminal, or passed to a listener.

Results and notes go to stdout, because they are what the user asked for; warnings and errors go to stderr,
so that they are still seen where stdout is a file or another program. Control and invisible characters, which
a model or a file may contain, are shown in Python's notation. While a progress bar is drawn, rich puts what
is written to either stream above it.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from echochamber.base.text import printable

Listener = Callable[[str], object]

# Each with the thread that installed it.
_listeners: list[tuple[int, Listener]] = []


class _Process:
    muted = False


def say(text: str) -> None:
    """Show a line or a block of text."""
    _deliver(text, sys.stdout)


def note(text: str) -> None:
    """Show something worth knowing that needs no action."""
    _deliver(f"note: {text}", sys.stdout)


def warn(text: str) -> None:
    """Show something that probably needs the user's attention."""
    _deliver(f"warning: {text}", sys.stderr)


def say_error(text: str) -> None:
    """Show why the work ends. A muted process does so too: the first process of a job to end says why."""
    _deliver(f"error: {text}", sys.stderr, even_muted=True)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Hand every message to `listener`, one call per message, instead of showing it.

    Blocks may be nested, and threads may have blocks of their own: a message goes to the innermost block of
    its thread, or of any thread where its own has none.
    """
    entry = (threading.get_ident(), listener)
    _listeners.append(entry)
    try:
        yield
    finally:
        _listeners.remove(entry)


def mute_messages() -> None:
    """Show only errors from now on, because another process of the job speaks for all of them."""
    _Process.muted = True


def draws_progress() -> bool:
    """Whether messages go to a terminal, so that a progress bar can be drawn there."""
    return not _listeners and not _Process.muted and sys.stdout.isatty()


def _deliver(text: str, stream: TextIO, *, even_muted: bool = False) -> None:
    if _Process.muted and not even_muted:
        return
    shown = printable(text)
    everyone = tuple(_listeners)
    mine = [listener for thread, listener in everyone if thread == threading.get_ident()]
    for listener in (mine or [listener for _, listener in everyone])[-1:]:
        listener(shown)
        return
    # One write, so that lines of several threads are not mixed.
    stream.write(shown + "\n")
    stream.flush()
