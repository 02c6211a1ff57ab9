"""Child processes that run programs: warm, fed ahead, watched, replaced when they die or overrun."""

from __future__ import annotations

import contextlib
import json
import selectors
import struct
import sys
import time
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from echochamber.base import EchoError
from echochamber.verify.outcomes import Execution, Limits
from echochamber.verify.processes import end_process, end_quietly, start_process
from echochamber.verify.sandboxed.frames import frame

# Programs sent ahead of the one that runs, bounded so that neither side can block on a full socket.
_WINDOW, _WINDOW_BYTES = 12, 32_768
_START_SECONDS, _SEND_SECONDS = 60.0, 5.0
# How long past its limit a program may keep its process; after that the process is killed.
_GRACE_SECONDS = 0.9
_MAX_FAILED_STARTS = 3


class _Child:
    """One worker process and the jobs it was given, oldest first."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.process, self.connection = start_process("monty_worker")
        # A worker that does not read for so long is stuck; `_step` then replaces it.
        self.connection.settimeout(_SEND_SECONDS)
        self.received = bytearray()
        self.jobs: deque[tuple[int, int]] = deque()
        self.pending_bytes = 0
        self.ready = False
        self.deadline = time.monotonic() + _START_SECONDS
        self._send(config)

    def _send(self, message: dict[str, Any]) -> int:
        data = frame(message)
        # A broken connection shows as the end of the replies, where it is handled.
        with contextlib.suppress(OSError):
            self.connection.sendall(data)
        return len(data)

    def give(self, job: int, source: str, seconds: float) -> None:
        """Send a program."""
        if not self.jobs:
            self.deadline = time.monotonic() + seconds + _GRACE_SECONDS
        size = self._send({"source": source})
        self.jobs.append((job, size))
        self.pending_bytes += size

    def has_room(self) -> bool:
        return self.ready and (
            not self.jobs or (len(self.jobs) < _WINDOW and self.pending_bytes < _WINDOW_BYTES)
        )

    def take(self) -> list[dict[str, Any]] | None:
        """The replies that have arrived; None if the process is gone."""
        data = self._receive()
        if not data:
            return None
        self.received += data
        messages = []
        while len(self.received) >= 4:
            (length,) = struct.unpack_from("<I", self.received)
            if len(self.received) < 4 + length:
                break
            messages.append(json.loads(self.received[4 : 4 + length]))
            del self.received[: 4 + length]
        return messages

    def _receive(self) -> bytes:
        try:
            return self.connection.recv(1 << 16)
        except OSError:
            return b""

    def kill(self) -> None:
        """End the process with everything it started, and wait for it."""
        end_process(self.process, self.connection)


class Pool:
    """Runs tier 1 programs on a fixed number of worker processes.

    Workers start with the first program and stay until `close`. A program's
    result does not depend on the number of workers nor on its neighbours:
    each runs in a fresh session, and one that takes its worker down costs
    only itself.
    """

    def __init__(self, limits: Limits, size: int) -> None:
        self.limits, self.size = limits, size
        self._config = {
            "seconds": limits.seconds,
            "memory_bytes": limits.memory_mib << 20,
            "output_bytes": limits.output_bytes,
        }
        self._children: list[_Child] = []
        self._failed_starts = 0

    def run(self, sources: Sequence[str]) -> list[Execution]:
        """Run programs; results in the order of `sources`.

        Raises:
            EchoError: the worker processes cannot be started.
        """
        results: list[Execution | None] = [None] * len(sources)
        waiting = deque(range(len(sources)))
        if not waiting:
            return []
        wanted = min(self.size, max(1, len(sources) // 4))
        while len(self._children) < wanted:
            self._children.append(_Child(self._config))
        while waiting or any(child.jobs for child in self._children):
            for child in self._children:
                while waiting and child.has_room():
                    job = waiting.popleft()
                    child.give(job, sources[job], self.limits.seconds)
            self._step(results, waiting)
        return [result for result in results if result is not None]

    def _step(self, results: list[Execution | None], waiting: deque[int]) -> None:
        """Wait for the next reply, death or deadline and act on it."""
        watched = [child for child in self._children if child.jobs or (waiting and not child.ready)]
        with selectors.DefaultSelector() as selector:
            for child in watched:
                selector.register(child.connection, selectors.EVENT_READ, child)
            patience = min(child.deadline for child in watched) - time.monotonic()
            ready = {key.data for key, _ in selector.select(max(0.0, patience))}
        now = time.monotonic()
        for child in watched:
            if child in ready:
                messages = child.take()
                if messages is None:
                    self._replace(child, "memory", results, waiting)
                else:
                    self._accept(child, messages, results)
            elif now >= child.deadline:
                self._replace(child, "timeout", results, waiting)

    def _accept(self, child: _Child, messages: list[dict[str, Any]], results: list[Execution | None]) -> None:
        for message in messages:
            if "ready" in message:
                child.ready = True
                self._failed_starts = 0
                continue
            job, size = child.jobs.popleft()
            child.pending_bytes -= size
            results[job] = Execution(**message)
        child.deadline = time.monotonic() + self.limits.seconds + _GRACE_SECONDS

    def _replace(
        self, child: _Child, status: str, results: list[Execution | None], waiting: deque[int]
    ) -> None:
        """A worker died or overran: its oldest program is to blame, the others are run again."""
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
            job, _ = child.jobs.popleft()
            results[job] = Execution(status)
            waiting.extendleft(job for job, _ in reversed(child.jobs))
        self._children[self._children.index(child)] = _Child(self._config)

    def close(self) -> None:
        """End all workers."""
        end_quietly((child.process, child.connection) for child in self._children)
        self._children = []

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
