"""Runs work in processes that may be killed, without paying for imports each time.

A server imports the workloads (and with them torch) once and never computes; each piece of work runs in a
fork of it. Used by the fault tests and by `make soak`.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Outcome:
    """How a piece of work ended.

    Attributes:
        status: exit code, or minus the number of the signal that killed it.
        said: what it wrote to stdout and stderr.
    """

    status: int
    said: str


class ForkServer:
    """A server process; `run` does one piece of work in a fork of it."""

    def __init__(self) -> None:
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path]),
        }
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )

    def run(
        self,
        target: str,
        *,
        fault: str = "",
        trace: Path | None = None,
        kill_after: float | None = None,
        signals: list[tuple[float, str]] | None = None,
        timeout: float = 300.0,
        **arguments: Any,
    ) -> Outcome:
        """Call `module:function(**arguments)` in a new process group.

        Args:
            fault: value of ECHOCHAMBER_FAULT.
            trace: value of ECHOCHAMBER_FAULT_TRACE.
            kill_after: seconds until SIGKILL goes to the whole group.
            signals: (seconds, name) of signals sent to the process alone.
            timeout: seconds until the work counts as hanging.
        """
        request = {
            "target": target,
            "arguments": {k: str(v) if isinstance(v, Path) else v for k, v in arguments.items()},
            "environment": {"ECHOCHAMBER_FAULT": fault, "ECHOCHAMBER_FAULT_TRACE": str(trace or "")},
            "signals": [[kill_after, "KILLGROUP"]] if kill_after is not None else (signals or []),
            "timeout": timeout,
        }
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return Outcome(**json.loads(self._process.stdout.readline()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def _work(request: dict[str, Any], output: int) -> None:
    """In the child: do the work and exit as the command line would."""
    os.setpgid(0, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.update(request["environment"])
    from echochamber.base import EchoError

    module, _, name = request["target"].partition(":")
    status = 70
    try:
        getattr(importlib.import_module(module), name)(**request["arguments"])
        status = 0
    except EchoError as error:
        print(f"error: {error}", file=sys.stderr)
        status = error.exit_code
    except BaseException:  # noqa: BLE001 - the child must end here, whatever happened
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _send(child: int, name: str) -> None:
    try:
        if name == "KILLGROUP":
            os.killpg(child, signal.SIGKILL)
        else:
            os.kill(child, getattr(signal, name))
    except ProcessLookupError:
        pass


def _wait(child: int, events: list[list[Any]], output: int) -> Outcome:
    """Collect output, send signals in time, and reap."""
    start = time.monotonic()
    handle = os.pidfd_open(child)
    said, sources = b"", [handle, output]
    while True:
        due = events[0][0] - (time.monotonic() - start) if events else None
        ready, _, _ = select.select(sources, [], [], None if due is None else max(0.0, due))
        if output in ready:
            data = os.read(output, 1 << 16)
            said += data
            if not data:
                sources.remove(output)
        elif handle in ready:
            break
        elif events:
            _send(child, events.pop(0)[1])
    os.close(handle)
    return Outcome(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said.decode(errors="replace"))


def serve() -> None:
    """Answer requests from stdin until it closes."""
    import torch._dynamo  # noqa: F401 - optimizers import it at their first step
    import workloads  # noqa: F401 - the point of the server: imported once

    for line in sys.stdin:
        request = json.loads(line)
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read_end)
            _work(request, write_end)
        os.close(write_end)
        outcome = _wait(child, [*request["signals"], [request["timeout"], "KILLGROUP"]], read_end)
        os.close(read_end)
        print(json.dumps({"status": outcome.status, "said": outcome.said}), flush=True)


if __name__ == "__main__":
    serve()
