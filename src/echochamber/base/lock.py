"""One process at a time in a run folder."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from echochamber.base.errors import InputError, Interrupted
from echochamber.base.files import explained_write, fault_point
from echochamber.base.messages import note
from echochamber.base.stopping import stop_requested

_WAIT_SECONDS = 0.5

# The thread that holds each path: POSIX record locks do not exclude two users inside one process. A forked
# child holds none, just as it inherits none of the kernel's locks.
_held: dict[Path, int] = {}
_turn = threading.Lock()


def _forget() -> None:
    global _turn
    _turn = threading.Lock()
    _held.clear()


os.register_at_fork(after_in_child=_forget)

# The errors of a file system without record locks.
_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


def _start_of(pid: int) -> str:
    """When a process of this machine started, in kernel ticks; empty where that is unknown."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # The name of the program, in parentheses, may hold spaces; the 22nd field follows it.
    return text.rpartition(")")[2].split()[19]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class _InUse(Exception):
    """Who holds the lock, in a sentence."""


class RunLock:
    """Exclusive use of a folder, as a context manager around a file that names the holder.

    The kernel holds the lock for as long as the process lives, so one that was killed leaves a stale
    file and nothing else: the next process recognizes it by taking the lock. A forked child does not
    inherit it. Where the file system has no record locks (some cluster file systems), the process id,
    its start time and the host in the file decide.

    Args:
        path: the lock file, e.g. `runs/<study>/lock`. It is removed on leaving.
        what: what it guards, as messages name it; by default the folder that contains it.
        wait: wait for another holder to end, which is announced, instead of refusing.

    Raises:
        InputError: another living process holds it (the message has its pid and host), or the file
            cannot be written.
        Interrupted: asked to stop while waiting.
    """

    def __init__(self, path: Path, *, what: str = "", wait: bool = False) -> None:
        self.path = path.absolute()
        self._what, self._wait = what or str(self.path.parent), wait
        self._descriptor = self._pid = -1

    def __enter__(self) -> Self:
        self._in_turn(self._claim)
        try:
            with explained_write(self.path):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._in_turn(self._take)
                me = {"pid": os.getpid(), "host": socket.gethostname(), "started": _start_of(os.getpid())}
                fault_point("lock.before_write")
                os.ftruncate(self._descriptor, 0)
                os.pwrite(self._descriptor, json.dumps(me).encode(), 0)
                fault_point("lock.after_write")
        except BaseException:
            if self._descriptor >= 0:
                os.close(self._descriptor)
            _held.pop(self.path, None)
            raise
        self._pid = os.getpid()
        return self

    def _in_turn(self, attempt: Callable[[], bool]) -> None:
        announced = False
        while True:
            try:
                if attempt():
                    return
            except _InUse as refusal:
                if not self._wait:
                    raise InputError(str(refusal)) from None
                if stop_requested():
                    raise Interrupted(f"{stop_requested()}: stopped while waiting; {refusal}") from None
                if not announced:
                    note(f"waiting: {refusal}")
                    announced = True
                time.sleep(_WAIT_SECONDS)

    def _claim(self) -> bool:
        """Claim the path for this thread, since the kernel does not distinguish threads of one process."""
        me = threading.get_ident()
        with _turn:
            if self.path not in _held:
                _held[self.path] = me
                return True
        if _held.get(self.path) == me:
            raise InputError(f"{self._what} is already in use by this process")
        raise _InUse(f"{self._what} is already in use by this process, in another thread")

    def _take(self) -> bool:
        """Open and lock the file; False if it was removed by its last holder in between."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in (errno.EACCES, errno.EAGAIN):
                    self._refuse(self._holder(descriptor))
                if error.errno not in _UNSUPPORTED:
                    raise
                self._judge(self._holder(descriptor))
            try:
                same = os.path.samestat(os.fstat(descriptor), self.path.stat())
            except FileNotFoundError:
                same = False
        except BaseException:
            os.close(descriptor)
            raise
        if not same:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    @staticmethod
    def _holder(descriptor: int) -> dict[str, Any]:
        try:
            holder = json.loads(os.pread(descriptor, 4096, 0))
        except ValueError:
            return {}
        return holder if isinstance(holder, dict) and holder.keys() >= {"pid", "host", "started"} else {}

    def _judge(self, holder: dict[str, Any]) -> None:
        """Without kernel locks: refuse unless the holder is known to be gone."""
        if not holder:
            return
        pid = int(holder["pid"])
        here = holder["host"] == socket.gethostname()
        if not here or (_alive(pid) and _start_of(pid) == holder["started"]):
            self._refuse(holder)

    def _refuse(self, holder: dict[str, Any]) -> None:
        who = f"process {holder['pid']} on {holder['host']}" if holder else "another process"
        raise _InUse(
            f"{self._what} is in use by {who}. Wait for it to end or stop it; "
            f"if you are certain that it is gone, remove {self.path}"
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if os.getpid() == self._pid:
            # Removed while still locked: a process that opened the old file finds that it lost its name.
            self.path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = -1
        _held.pop(self.path, None)
