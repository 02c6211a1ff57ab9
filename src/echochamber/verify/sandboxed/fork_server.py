"""The confined fork server: CPython with numpy and sympy loaded, one forked child per program.

The server hands each child a socket that the grader made for this program alone, and never sees what is sent
over it. It waits for the child until a deadline, then kills it, and reports how it ended.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

from echochamber.verify.sandboxed import confinement
from echochamber.verify.sandboxed.frames import frame, read_frame

# What the server reports of a child: it ended by itself, was killed at its deadline, or could not be made.
ENDED, OVERRAN, FAILED = b"e", b"t", b"f"
# The server opens only a handful of descriptors; their limit is set when it starts.
_CHANNEL, _MAX_DESCRIPTOR = 3, 64
_WARM_UP = (
    "import numpy\nimport numpy.random\nnumpy.linalg.solve(numpy.eye(2), numpy.ones(2))[0]",
    "from sympy import *\nx, y = symbols('x y')\nsolve([x + y - 3, x - y - 1], [x, y])",
    "from sympy import *\nx = Symbol('x')\nsolve(Eq(x**2 - 2 * x + 7, 0), x)",
    "from sympy import *\nx = Symbol('x')\n[simplify(sin(x)**2 + cos(x)**2), expand((x + 1)**3)]",
    "from sympy import *\nx = Symbol('x')\n[factor(x**2 - 1), integrate(x**2, x), diff(x**3, x), N(sqrt(2))]",
    "from sympy import *\nx = Symbol('x')\n[limit(sin(x) / x, x, 0), Rational(1, 2), factorint(60)]",
    "from sympy import *\nMatrix([[1, 2], [3, 4]]).det()",
    "import math, random, datetime, itertools, statistics, collections, decimal\nstatistics.mean([1, 2])",
    "from fractions import Fraction\nFraction(1, 2)",
)


def main() -> None:
    """Serve jobs until the other end of standard input closes."""
    from echochamber.verify.sandboxed import program_child

    def load() -> None:
        program_child.prepare()
        # The first use of a library imports modules and fills caches, which every child then shares.
        for source in _WARM_UP:
            program_child.run(source, 65_536)
        # sympy keeps random numbers of its own, and numpy's are seeded again only for programs that draw.
        from numpy.random import seed as seed_numpy
        from sympy.core.random import seed as seed_sympy

        seed_sympy(0)
        seed_numpy(0)

    serve(load, program_child.run_job)


def serve(load: Callable[[], object], job: Callable[[int, Any], None]) -> None:
    """Confine this process and fork one child for every socket that arrives.

    Args:
        load: imports what the children should find already loaded.
        job: does the work of a request and writes the answer to the given descriptor.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    with control, os.fdopen(control.fileno(), "rb", buffering=0, closefd=False) as requests:
        config = read_frame(requests)
        resource.setrlimit(resource.RLIMIT_NOFILE, (_MAX_DESCRIPTOR, _MAX_DESCRIPTOR))
        load()
        try:
            server = Server(control, config, job)
        except confinement.ConfinementError as error:
            control.sendall(frame({"error": str(error)}))
            return
        gc.collect()
        gc.freeze()
        control.sendall(frame({"ready": sys.version.split()[0]}))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            server.run()


class Server:
    """Forks, waits, kills, reaps."""

    def __init__(
        self, control: socket.socket, config: dict[str, Any], job: Callable[[int, Any], None]
    ) -> None:
        self.control, self.config, self.job = control, config, job
        self.confined = bool(config["confined"])
        self.filter = confinement.prepared_filter() if self.confined else None
        pages = int(open("/proc/self/statm").read().split()[0]) if self.confined else 0  # noqa: PTH123, SIM115
        self.address_space_bytes = pages * os.sysconf("SC_PAGE_SIZE") + config["memory_bytes"]
        if self.confined:
            confinement.give_up_privileges()
            confinement.landlock(confinement.interpreter_folders())
            self._prove()

    def _prove(self) -> None:
        """Try in a child what must be impossible, before any program arrives."""
        child = os.fork()
        if child == 0:
            code = 1
            with contextlib.suppress(BaseException):
                self._confine()
                code = 0 if _is_confined() else 2
            os._exit(code)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0:
            raise confinement.ConfinementError("a confined test program could still reach files or sockets")

    def run(self) -> None:
        """Serve jobs one after another until the control socket closes."""
        while True:
            message, descriptors, _, _ = socket.recv_fds(self.control, 8, 1)
            if not message:
                return
            (seconds,) = struct.unpack("<d", message)
            try:
                child = os.fork()
            except OSError:
                os.close(descriptors[0])
                self.control.sendall(FAILED)
                continue
            if child == 0:
                self._child(descriptors[0])
            os.close(descriptors[0])
            self.control.sendall(ENDED if self._wait(child, seconds) else OVERRAN)

    def _wait(self, child: int, seconds: float) -> bool:
        """Whether the child ended before its deadline; it is gone afterwards either way.

        While a job runs, the grader sends nothing: if its socket becomes readable, the grader is gone, and
        the child must end too. The parent-death signal would not do: the kernel sends it as soon as the
        thread that started this server ends.
        """
        try:
            descriptor = os.pidfd_open(child)
        except (AttributeError, OSError):
            return self._wait_polling(child, seconds)
        try:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            poll.register(self.control, select.POLLIN)
            in_time = descriptor in dict(poll.poll(seconds * 1000))
        finally:
            os.close(descriptor)
        if not in_time:
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return in_time

    @staticmethod
    def _wait_polling(child: int, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if os.waitpid(child, os.WNOHANG)[0]:
                return True
            time.sleep(0.001)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return False

    def _confine(self) -> None:
        """Give up every right that a program does not need."""
        confinement.limit_resources(self.config["seconds"], self.address_space_bytes)
        if self.filter is not None:
            confinement.landlock(None)
            confinement.install_filter(self.filter)

    def _child(self, channel: int) -> NoReturn:
        """Become a process that knows one socket and one job."""
        code = 1
        with contextlib.suppress(BaseException):
            if self.confined:
                confinement.die_with_parent()
            os.dup2(channel, _CHANNEL, inheritable=False)
            os.closerange(_CHANNEL + 1, _MAX_DESCRIPTOR)
            with os.fdopen(_CHANNEL, "rb", closefd=False) as stream:
                request = read_frame(stream)
            if self.confined:
                self._confine()
            self.job(_CHANNEL, request)
            code = 0
        os._exit(code)


def _is_confined() -> bool:
    """Whether files outside the interpreter, writing, sockets and processes are out of reach."""
    attempts: list[Callable[[], object]] = [
        lambda: os.open("/etc/passwd", os.O_RDONLY),
        lambda: os.open("/proc/self/environ", os.O_RDONLY),
        lambda: os.open("/tmp/echochamber", os.O_WRONLY | os.O_CREAT),
        socket.socket,
        os.fork,
        lambda: os.kill(os.getppid(), 0),
    ]
    for attempt in attempts:
        try:
            attempt()
        except PermissionError:
            continue
        except OSError:
            return False
        return False
    return True
