"""Child processes that run programs: warm, fed ahead, watched, replaced when they die or overrun."""

from __future__ import annotations

import contextlib
import math
import select
import sys
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any

from echochamber.base import EchoError
from echochamber.verify.channel import result_of, split_messages
from echochamber.verify.outcomes import Execution, ExecutionLimits
from echochamber.verify.processes import STRIKES, Shared, end_process, end_quietly, start_process
from echochamber.verify.sandboxed.frames import CRASHED, frame

# Programs sent ahead of the running one, bounded so that neither side can block on a full socket.
_WINDOW, _WINDOW_BYTES = 16, 32_768
# Programs sent in one message to a worker that is still busy.
_TOGETHER = 4
_START_SECONDS, _SEND_SECONDS = 60.0, 5.0
# How long past its limit a program may occupy its process before the process is killed.
_GRACE_SECONDS = 0.9
_MAX_FAILED_STARTS = 3


class _Child:
    """One worker process and the jobs it was given, oldest first."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.process, self.connection = start_process("monty_worker")
        # A worker that has not read for this long is stuck; `_step` then replaces it.
        self.connection.settimeout(_SEND_SECONDS)
        self.received = bytearray()
        self.jobs: deque[tuple[int, str, int]] = deque()
        self.unsent: list[bytes] = []
        self.pending_bytes = 0
        self.ready = False
        self.deadline = time.monotonic() + _START_SECONDS
        self._send(frame(config))

    def _send(self, data: bytes) -> None:
        # A broken connection shows as the end of the replies, where it is handled.
        with contextlib.suppress(OSError):
            self.connection.sendall(data)

    def give(self, job: int, source: str, seconds: float) -> None:
        """Queue a program; it is sent at once if the worker would otherwise be idle."""
        if not self.jobs:
            self.deadline = time.monotonic() + seconds + _GRACE_SECONDS
        data = frame(source)
        self.unsent.append(data)
        self.jobs.append((job, source, len(data)))
        self.pending_bytes += len(data)
        if len(self.unsent) == min(len(self.jobs), _TOGETHER):
            self.flush()

    def flush(self) -> None:
        """Send everything queued at once, because each separate message would wake the worker."""
        if self.unsent:
            self._send(b"".join(self.unsent))
            self.unsent.clear()

    def has_room(self) -> bool:
        return self.ready and (
            not self.jobs or (len(self.jobs) < _WINDOW and self.pending_bytes < _WINDOW_BYTES)
        )

    def take(self) -> list[object] | None:
        """The messages that have arrived; None if the process is gone or does not follow the protocol."""
        data = self._receive()
        if not data:
            return None
        self.received += data
        return split_messages(self.received)

    def _receive(self) -> bytes:
        try:
            return self.connection.recv(1 << 16)
        except OSError:
            return b""

    def kill(self) -> None:
        """End the process with everything it started, and wait for it."""
        end_process(self.process, self.connection)


class _Work:
    """The programs of one run: those yet to be drawn, those to be run again, and the results.

    A process that ends in the middle of a program may have been killed from outside, and the program may
    then have gone to one that was killed with it. So it runs again: only one that ends `STRIKES` processes
    is charged.
    """

    def __init__(self, sources: Iterable[str]) -> None:
        self.sources = iter(sources)
        self.is_drawn = False
        self.drawn = 0
        self.again: deque[tuple[int, str]] = deque()
        self.strikes: Counter[int] = Counter()
        self.results: dict[int, Execution] = {}

    def next(self) -> tuple[int, str] | None:
        """The next (number, program), or None if there is none at the moment."""
        if self.again:
            return self.again.popleft()
        for source in self.sources:
            self.drawn += 1
            return self.drawn - 1, source
        self.is_drawn = True
        return None

    def is_guilty(self, job: int) -> bool:
        """Note that a process ended while it ran this program; returns whether that happened too often."""
        self.strikes[job] += 1
        return self.strikes[job] >= STRIKES

    def is_over(self, children: Sequence[_Child]) -> bool:
        """Whether nothing is left to draw, to repeat or to wait for."""
        return self.is_drawn and not self.again and not any(child.jobs for child in children)

    def in_order(self) -> list[Execution]:
        """Results in the order in which the programs were drawn."""
        return [self.results[job] for job in range(self.drawn)]


class Pool(Shared):
    """Runs tier 1 programs on a fixed number of worker processes.

    Workers start with the first program and stay until `close`. A program's result depends neither on the
    number of workers nor on the other programs: each runs in a fresh session, and one that crashes its worker
    affects only itself.
    """

    def __init__(self, limits: ExecutionLimits, size: int) -> None:
        super().__init__()
        self.limits, self.size = limits, size
        self._config = {
            "seconds": limits.seconds,
            "memory_bytes": limits.memory_mib << 20,
            "output_bytes": limits.output_bytes,
        }
        self._children: list[_Child] = []
        self._failed_starts = 0

    def run(self, sources: Iterable[str], expected: int) -> list[Execution]:
        """Run programs while they are still being found; results in the order of `sources`.

        Args:
            sources: programs, drawn one by one as workers become available.
            expected: about how many there will be; a few programs do not start all workers.

        Raises:
            EchoError: the worker processes cannot be started.
        """
        work = _Work(sources)
        with self.turn:
            try:
                self._finish(work, expected)
            except BaseException:
                # Workers in the middle of this batch would otherwise send their answers during the next one.
                self.close()
                raise
        return work.in_order()

    def _finish(self, work: _Work, expected: int) -> None:
        first = work.next()
        if first is None:
            return
        work.again.append(first)
        while not work.is_over(self._children):
            while len(self._children) < min(self.size, max(1, expected // 4)):
                self._children.append(_Child(self._config))
            while (child := self._least_loaded()) is not None and (program := work.next()) is not None:
                child.give(*program, self.limits.seconds)
            self._step(work)

    def _least_loaded(self) -> _Child | None:
        """The worker with free capacity that has the fewest programs queued."""
        least = None
        for child in self._children:
            if child.has_room() and (least is None or len(child.jobs) < len(least.jobs)):
                least = child
        return least

    def _step(self, work: _Work) -> None:
        """Wait for the next reply, death or deadline and act on it."""
        more = bool(work.again) or not work.is_drawn
        watched = [child for child in self._children if child.jobs or (more and not child.ready)]
        if not watched:
            return
        poll = select.poll()
        for child in watched:
            child.flush()
            poll.register(child.connection, select.POLLIN)
        patience = min(child.deadline for child in watched) - time.monotonic()
        ready = {descriptor for descriptor, _ in poll.poll(math.ceil(1000 * max(0.0, patience)))}
        now = time.monotonic()
        for child in watched:
            if child.connection.fileno() in ready:
                messages = child.take()
                if messages is None:
                    self._replace(child, "memory", work)
                else:
                    self._accept(child, messages, work)
            elif now >= child.deadline:
                self._replace(child, "timeout", work)

    def _accept(self, child: _Child, messages: list[object], work: _Work) -> None:
        for message in messages:
            if not child.ready:
                # The first message only says that the worker has started.
                child.ready = True
                self._failed_starts = 0
                continue
            if not child.jobs:
                continue
            job, source, size = child.jobs.popleft()
            child.pending_bytes -= size
            if message != CRASHED:
                work.results[job] = result_of(message)
            elif work.is_guilty(job):
                work.results[job] = Execution("memory")
            else:
                work.again.append((job, source))
        child.deadline = time.monotonic() + self.limits.seconds + _GRACE_SECONDS

    def _replace(self, child: _Child, status: str, work: _Work) -> None:
        """A worker died or overran: its oldest program is charged with it, the others run again."""
        child.kill()
        if not child.ready:
            self._failed_starts += 1
            if self._failed_starts >= _MAX_FAILED_STARTS:
                self.close()
                raise EchoError(
                    "the sandbox processes do not start: check that pydantic-monty==1.4.0 is installed for "
                    f"{sys.executable} and that its `monty` program can run"
                )
        if child.jobs:
            work.again.extendleft((job, source) for job, source, _ in reversed(child.jobs))
            blamed = child.jobs[0][0]
            if status == "timeout" or work.is_guilty(blamed):
                work.again.popleft()
                work.results[blamed] = Execution(status)
        self._children[self._children.index(child)] = _Child(self._config)

    def close(self) -> None:
        """End all workers."""
        with self.turn:
            end_quietly((child.process, child.connection) for child in self._children)
            self._children = []

    def forget(self) -> None:
        """In a forked process, leave the workers to the parent."""
        super().forget()
        for child in self._children:
            child.connection.close()
        self._children = []

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
