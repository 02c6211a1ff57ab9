"""The grader's side of the fork servers: tier 2 programs, one confined child each."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any

from echochamber.base import EchoError, InputError
from echochamber.verify.channel import MAX_MESSAGE_BYTES, answer_of, split_messages
from echochamber.verify.outcomes import Execution, ExecutionLimits
from echochamber.verify.processes import STRIKES, Shared, end_process, end_quietly, start_process
from echochamber.verify.sandboxed import confinement
from echochamber.verify.sandboxed.fork_server import OVERRAN
from echochamber.verify.sandboxed.frames import frame

_START_SECONDS = 120.0
# How long after a job's deadline its server may stay silent before it is replaced.
_GRACE_SECONDS = 0.8
_MAX_FAILED_STARTS = 3

Finish = Callable[[bytes, bool], None]


def require_confinement() -> None:
    """Raise if programs cannot be confined here.

    Raises:
        InputError: why, and what to do instead.
    """
    reason = confinement.refusal()
    if reason:
        raise InputError(
            f"tier 2 cannot be confined here: {reason}. Allow only tier 1 (verify: tiers: [1]), use "
            "Linux 5.13 or newer, or accept the risk by name with unsafe_unconfined"
        )


class _Server:
    """One fork server and the job it is working on."""

    def __init__(self, module: str, config: dict[str, Any]) -> None:
        self.process, self.control = start_process(module, forks=True)
        with contextlib.suppress(OSError):
            self.control.sendall(frame(config))
        self.ready = False
        self.received = bytearray()
        self.channel: socket.socket | None = None
        self.finish: Finish | None = None
        self.job = -1
        self.deadline = time.monotonic() + _START_SECONDS

    def greet(self) -> None:
        """Read the first message.

        Raises:
            EchoError: the server could not confine itself.
        """
        data = self.control.recv(4096)
        if not data:
            raise ConnectionResetError
        self.received += data
        messages = split_messages(self.received)
        if messages == []:
            return
        message = messages[0] if messages else None
        if not isinstance(message, dict):
            raise ConnectionResetError
        if "error" in message:
            raise EchoError(f"the sandbox cannot be confined: {message['error']}")
        self.ready = True

    def give(self, request: dict[str, Any], seconds: float, finish: Finish) -> None:
        """Start a job: its socket goes to the server, its content only to the child."""
        ours, theirs = socket.socketpair()
        ours.settimeout(_GRACE_SECONDS + seconds)
        self.channel, self.finish = ours, finish
        self.deadline = time.monotonic() + seconds + _GRACE_SECONDS
        with theirs, contextlib.suppress(OSError):
            socket.send_fds(self.control, [struct.pack("<d", seconds)], [theirs.fileno()])
        with contextlib.suppress(OSError):
            ours.sendall(frame(request))

    def take(self) -> None:
        """The job's child is gone: read what it wrote and pass it on."""
        report = self.control.recv(1)
        if not report:
            raise ConnectionResetError
        assert self.channel is not None and self.finish is not None
        answer = bytearray()
        # The child is dead, so the socket already holds everything.
        self.channel.setblocking(False)
        with contextlib.suppress(OSError):
            while len(answer) <= MAX_MESSAGE_BYTES + 4 and (data := self.channel.recv(65_536)):
                answer += data
        self.channel.close()
        finish, self.channel, self.finish = self.finish, None, None
        finish(bytes(answer), report == OVERRAN)

    def drop_job(self) -> None:
        if self.channel is not None:
            self.channel.close()

    def end(self) -> None:
        self.drop_job()
        end_process(self.process, self.control)


class ForkServers(Shared):
    """A fixed number of fork servers that share a queue of jobs.

    Args:
        module: the module of `verify.sandboxed` to start.
        size: number of servers; they start with the first job and stay until `close`.
    """

    def __init__(
        self, module: str, size: int, *, memory_mib: int, seconds: float, confined: bool = True
    ) -> None:
        super().__init__()
        self._module, self.size = module, size
        self._config = {"memory_bytes": memory_mib << 20, "seconds": seconds, "confined": confined}
        self._servers: list[_Server] = []
        self._failed_starts = 0

    def run(
        self, jobs: Sequence[tuple[dict[str, Any], float]], finish: Callable[[int, bytes, bool], None]
    ) -> None:
        """Run jobs of (request, seconds); `finish(index, answer, overran)` is called for each, in any order.

        Raises:
            EchoError: the servers cannot be started or confined.
        """
        with self.turn:
            try:
                self._finish(jobs, finish)
            except BaseException:
                # Servers in the middle of these jobs would otherwise send their answers during later ones.
                self.close()
                raise

    def _finish(
        self, jobs: Sequence[tuple[dict[str, Any], float]], finish: Callable[[int, bytes, bool], None]
    ) -> None:
        waiting, strikes = deque(range(len(jobs))), Counter[int]()
        while len(self._servers) < min(self.size, len(jobs)):
            self._servers.append(_Server(self._module, self._config))
        while waiting or any(server.finish for server in self._servers):
            for server in self._servers:
                if waiting and server.ready and server.finish is None:
                    self._failed_starts = 0
                    index = waiting.popleft()
                    request, seconds = jobs[index]
                    server.job = index
                    server.give(request, seconds, _bind(finish, index))
            self._step(waiting, strikes)

    def _step(self, waiting: deque[int], strikes: Counter[int]) -> None:
        watched = [server for server in self._servers if server.finish or (waiting and not server.ready)]
        with selectors.DefaultSelector() as selector:
            for server in watched:
                selector.register(server.control, selectors.EVENT_READ, server)
            patience = min(server.deadline for server in watched) - time.monotonic()
            arrived = {key.data for key, _ in selector.select(max(0.0, patience))}
        now = time.monotonic()
        for server in watched:
            try:
                if server in arrived:
                    server.take() if server.ready else server.greet()
                elif now >= server.deadline:
                    self._replace(server, waiting, strikes, overran=True)
            except ConnectionResetError:
                self._replace(server, waiting, strikes, overran=False)

    def _replace(self, server: _Server, waiting: deque[int], strikes: Counter[int], *, overran: bool) -> None:
        """Replace a server that died or fell silent.

        A job whose server fell silent counts as failed, and so does one during which `STRIKES` servers died:
        fewer deaths may have come from outside.
        """
        server.end()
        if not server.ready:
            self._failed_starts += 1
            if self._failed_starts >= _MAX_FAILED_STARTS:
                self.close()
                raise EchoError(
                    "the sandbox servers do not start: check that numpy and sympy can be imported"
                )
        if server.finish is not None:
            strikes[server.job] += 1
            if overran or strikes[server.job] >= STRIKES:
                server.finish(b"", overran)
            else:
                waiting.appendleft(server.job)
        self._servers[self._servers.index(server)] = _Server(self._module, self._config)

    def close(self) -> None:
        """End all servers."""
        with self.turn:
            for server in self._servers:
                server.drop_job()
            end_quietly((server.process, server.control) for server in self._servers)
            self._servers = []

    def forget(self) -> None:
        """In a forked process, leave the servers to the parent."""
        super().forget()
        for server in self._servers:
            server.drop_job()
            server.control.close()
        self._servers = []


def _bind(finish: Callable[[int, bytes, bool], None], index: int) -> Finish:
    return lambda answer, overran: finish(index, answer, overran)


class ConfinedPool:
    """Runs tier 2 programs: CPython with numpy and sympy, one confined process each.

    Args:
        unsafe_unconfined: run without confinement where it cannot be installed; generated code then has
            the rights of the user who runs it.

    Raises:
        InputError: confinement cannot be installed and was not waived.
    """

    def __init__(self, limits: ExecutionLimits, size: int, *, unsafe_unconfined: bool = False) -> None:
        confined = not (unsafe_unconfined and confinement.refusal())
        if confined:
            require_confinement()
        self.limits = limits
        self._servers = ForkServers(
            "fork_server",
            size,
            memory_mib=limits.confined_memory_mib,
            seconds=limits.confined_seconds,
            confined=confined,
        )

    def run(self, sources: Sequence[str]) -> list[Execution]:
        """Run programs; results in the order of `sources`.

        Raises:
            EchoError: the servers cannot be started or confined.
        """
        results = [Execution("runtime_error")] * len(sources)

        def finish(index: int, answer: bytes, overran: bool) -> None:
            results[index] = Execution("timeout") if overran else answer_of(answer)

        jobs = [
            ({"source": source, "output_bytes": self.limits.output_bytes}, self.limits.confined_seconds)
            for source in sources
        ]
        self._servers.run(jobs, finish)
        return results

    def close(self) -> None:
        """End all servers."""
        self._servers.close()
