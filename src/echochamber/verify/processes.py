"""Starting the sandbox processes, with nothing in them that a program should not find."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from weakref import WeakSet

from echochamber.base import machine_cpus

# Nothing of the user's environment is passed on except what Python needs to start.
_ENVIRONMENT = (
    "PATH",
    "PYTHONPATH",
    "PYTHONHOME",
    "VIRTUAL_ENV",
    "MONTY_BIN",
    "SYSTEMROOT",
    "LD_LIBRARY_PATH",
)
_FIXED = {
    # One thread, so that forking is safe; a fixed order of sets; one time zone; no cache files.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUTF8": "1",
    "TZ": "UTC",
}

# A fork server in large pages is forked and torn down faster: 9.1 instead of 12.8 ms for a trivial program.
_LARGE_PAGES = {"PYTHONMALLOC": "malloc", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
_PATIENCE_SECONDS = 0.5

# Makes the sandboxed modules importable under their names without running the package around them.
# A process may use all processors that ours began with, wherever the thread that starts it is pinned.
_BOOTSTRAP = """
import contextlib, importlib, os, sys, types
with contextlib.suppress(AttributeError, OSError):
    os.sched_setaffinity(0, {cpus!r})
for name, folder in (("echochamber", {package!r}), ("echochamber.verify", {room!r})):
    module = types.ModuleType(name)
    module.__path__ = [folder]
    sys.modules[name] = module
importlib.import_module("echochamber.verify.sandboxed." + {module!r}).main()
"""

# So many processes that end in the middle of one program are its own doing; fewer may have been killed from
# outside.
STRIKES = 3


_shared: WeakSet[Shared] = WeakSet()


class Shared:
    """What threads of a process use one at a time, and what a forked child must start anew.

    Attributes:
        turn: held while a batch is worked on; a second thread waits for it.
    """

    def __init__(self) -> None:
        self.turn = threading.RLock()
        _shared.add(self)

    def forget(self) -> None:
        """For a forked child: the processes are its parent's, and no thread may exist that holds the lock."""
        self.turn = threading.RLock()


def _forget_all() -> None:
    for shared in list(_shared):
        shared.forget()


os.register_at_fork(after_in_child=_forget_all)


def start_process(module: str, *, forks: bool = False) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start `main()` of a module of `verify.sandboxed`.

    Args:
        forks: whether it is a fork server.

    Returns:
        The process, in a session of its own, and our end of the socket that is its standard input and output.
    """
    room = Path(__file__).parent
    code = _BOOTSTRAP.format(
        package=str(room.parent), room=str(room), module=module, cpus=sorted(machine_cpus())
    )
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ} | _FIXED
    if forks:
        environment |= _LARGE_PAGES
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", code],
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd="/",
            start_new_session=True,
        )
    return process, ours


def end_process(process: subprocess.Popen[bytes], connection: socket.socket) -> None:
    """Kill a process with everything it started, and wait for it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
    connection.close()


def end_quietly(started: Iterable[tuple[subprocess.Popen[bytes], socket.socket]]) -> None:
    """Let idle processes end by themselves, so that they reap their own children; kill those that do not."""
    started = list(started)
    for _, connection in started:
        connection.close()
    deadline = time.monotonic() + _PATIENCE_SECONDS
    for process, connection in started:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=max(0.0, deadline - time.monotonic()))
        end_process(process, connection)
