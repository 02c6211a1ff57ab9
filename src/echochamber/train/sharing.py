"""Makes a process's OpenMP threads yield when the machine is busy.

Threads of one team meet at the end of every parallel loop, and libgomp lets those that arrive first spin for
milliseconds. On an idle machine that is fastest. Beside other processes it is ruinous: the spinning thread
uses up its share of the processor and must itself wait once the others arrive. Pretraining `pico` on two
cores keeps 38 % of its speed beside one busy process and 10 % beside three, where fair shares would be 67 and
40 %.

So a watcher asks the kernel twice per second how long the training thread waited for a processor, and while
that is long, it
- makes libgomp spin for microseconds instead. libgomp does so by itself while it manages more threads than
  there are processors; a second team that sleeps makes it believe so, and can be dismissed again;
- asks the kernel for short slices of processor time (Linux 6.12 and newer): the same share, sooner.

Neither the number of threads nor where they run is touched, so results do not depend on any of this.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import struct
import threading
import time
from pathlib import Path

WATCH_SECONDS = 0.5
# Fraction of the time that the thread waits; on an idle machine it is under 3 %.
BUSY, QUIET = 0.15, 0.08
# After this many quiet measurements in a row the process stops yielding.
PATIENCE = 3
SLICE_NANOSECONDS = 1_000_000

# Numbers of sched_setattr and sched_getattr; struct sched_attr of Linux 3.14 (linux/sched/types.h): size,
# policy, flags, nice, priority, runtime, deadline, period.
_CALLS = {"x86_64": (314, 315), "aarch64": (274, 275)}
_ATTRIBUTES = struct.Struct("IIQiIQQQ")
_POLICY, _FLAGS, _RUNTIME = 1, 2, 5


@functools.cache
def give_way_when_busy() -> bool:
    """Watch the calling thread from now on, once per process; returns whether that is possible.

    Nothing is done on systems other than Linux, without libgomp, or for a user who chose how threads wait
    (`OMP_WAIT_POLICY`, `GOMP_SPINCOUNT`).
    """
    if {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        return False
    waited, libgomp = _Queue.of_this_thread(), _libgomp()
    if waited is None or libgomp is None:
        return False
    threading.Thread(target=_watch, args=(waited, _Crowd(libgomp)), name="give way", daemon=True).start()
    return True


def _watch(queue: _Queue, crowd: _Crowd) -> None:
    quiet_looks = 0
    while True:
        time.sleep(WATCH_SECONDS)
        waiting = queue.share_since_last()
        quiet_looks = quiet_looks + 1 if waiting < QUIET else 0
        if waiting > BUSY:
            crowd.gather()
            _ask_for_slices(SLICE_NANOSECONDS)  # also for threads started since
        elif crowd.gathered and quiet_looks >= PATIENCE:
            crowd.dismiss()
            _ask_for_slices(0)


class _Queue:
    """How long a thread waits for a processor."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at, self._waited = time.perf_counter(), self._nanoseconds()

    @classmethod
    def of_this_thread(cls) -> _Queue | None:
        """The queue of the calling thread; None where the kernel does not report it."""
        path = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
        return cls(path) if path.is_file() else None

    def _nanoseconds(self) -> int:
        try:
            return int(self._path.read_text().split()[1])
        except OSError:  # the thread has ended
            return 0

    def share_since_last(self) -> float:
        """The fraction of the time since the last call that was spent waiting, between 0 and 1."""
        at, waited = time.perf_counter(), self._nanoseconds()
        share = (waited - self._waited) / 1e9 / (at - self._at)
        self._at, self._waited = at, waited
        return share


def _libgomp() -> ctypes.CDLL | None:
    """The libgomp that this process has loaded, usually torch's own."""
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return None
    path = next((line.split(maxsplit=5)[5] for line in lines if "libgomp" in line), None)
    return ctypes.CDLL(path) if path else None


class _Crowd:
    """A team of threads that do nothing, more than there are processors."""

    def __init__(self, libgomp: ctypes.CDLL) -> None:
        self._parallel = libgomp.GOMP_parallel
        self._parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
        self._parallel.restype = None
        self._leave: threading.Event | None = None

    @property
    def gathered(self) -> bool:
        """Whether the team exists."""
        return self._leave is not None

    def gather(self) -> None:
        """Create the team; libgomp throttles its spinning from now on."""
        if self._leave is not None:
            return
        leave, there = threading.Event(), threading.Event()

        def lead() -> None:
            # Any function that does nothing can serve as the loop's body.
            body = ctypes.cast(ctypes.CDLL(None).getpid, ctypes.c_void_p)
            self._parallel(body, None, len(os.sched_getaffinity(0)) + 1, 0)
            there.set()
            leave.wait()

        threading.Thread(target=lead, name="crowd", daemon=True).start()
        there.wait()
        self._leave = leave

    def dismiss(self) -> None:
        """Dismiss the team: libgomp ends a team's threads when its leading thread ends."""
        if self._leave is not None:
            self._leave.set()
            self._leave = None


def _ask_for_slices(nanoseconds: int) -> None:
    """Request time slices of this length for all threads of this process; 0 is the kernel's default."""
    numbers = _CALLS.get(platform.machine())
    if numbers is None:
        return
    set_attributes, get_attributes = numbers
    call = ctypes.CDLL(None).syscall
    for task in Path("/proc/self/task").iterdir():
        data = ctypes.create_string_buffer(_ATTRIBUTES.size)
        if call(get_attributes, int(task.name), data, _ATTRIBUTES.size, 0):
            continue
        values = list(_ATTRIBUTES.unpack(data.raw))
        if values[_POLICY] == os.SCHED_OTHER and values[_RUNTIME] != nanoseconds:
            values[_FLAGS], values[_RUNTIME] = 0, nanoseconds
            call(set_attributes, int(task.name), _ATTRIBUTES.pack(*values), 0)  # refused by older kernels
