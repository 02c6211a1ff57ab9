"""The process that manages a tier 1 interpreter: reads programs, has them run, answers with scalars.

It runs no generated code itself: the interpreter is a process of its own,
which this one restarts when a program crashes it.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import select
import signal
import sys
import threading
import time
from typing import Any

import pydantic_monty as monty

from echochamber.verify.sandboxed.frames import CRASHED, read_frame, write_frame
from echochamber.verify.sandboxed.values import MAX_TEXT, last_line, scalar

# An idle worker ends and reaps its interpreter by itself when the grader closes the connection.
_FAREWELL_SECONDS = 1.0

_OPTIONS: dict[str, Any] = {
    # A fixed clock and fixed random numbers make a program's value a function of its text.
    "os_policy": {
        "datetime": datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC),
        "sleep": "zero",
        "random_start": {"seed": 0},
    },
}

# The interpreter rounds halves of decimals up that binary floats lack (2.675 to 2.68);
# its formatting is exact, as CPython's rounding is.
ROUND_PRELUDE = """_plain_round = round
def round(number, ndigits=None):
    if isinstance(number, float) and isinstance(ndigits, int) and ndigits >= 0 and number - number == 0:
        return float(f"{number:.{ndigits}f}")
    return _plain_round(number, ndigits) if ndigits is not None else _plain_round(number)
"""


def outcome_of(error: monty.MontyError) -> dict[str, str]:
    """The answer that corresponds to an error of the interpreter."""
    if isinstance(error, monty.MontyCrashedError):
        return {"status": "timeout"} if error.timed_out else CRASHED
    if isinstance(error, monty.MontySyntaxError):
        return {"status": "unsupported"}
    inner = error.exception()
    if isinstance(inner, TimeoutError):
        return {"status": "timeout"}
    if isinstance(inner, MemoryError):
        return {"status": "memory"}
    if isinstance(inner, NotImplementedError) and "monty" in str(inner):
        return {"status": "unsupported"}
    return {"status": "runtime_error"}


def run_program(pool: monty.Monty, source: str, limits: dict[str, Any], output_bytes: int) -> dict[str, str]:
    """Run one program in a session of its own."""
    printed = monty.CollectString(max_bytes=output_bytes)
    code = ROUND_PRELUDE + source if "round" in source else source
    try:
        with pool.checkout(limits=limits, **_OPTIONS) as session:  # type: ignore[arg-type]
            value = session.feed_run(code, print_callback=printed)
            kind, text = scalar(value)
        return {"status": "ok", "kind": kind, "value": text, "output": last_line(printed.output)}
    except monty.MontyError as error:
        return outcome_of(error)
    except Exception:  # noqa: BLE001 - a value that cannot leave the interpreter may say so in any way
        return {"status": "runtime_error"}


def main() -> None:
    """Serve until the other end closes the socket."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        _serve()


def _end_with_the_grader(connection: int) -> None:
    """Once the other end is gone, give running programs a moment to finish, then end everything."""
    poll = select.poll()
    poll.register(connection, 0)
    poll.poll()
    time.sleep(_FAREWELL_SECONDS)
    os.killpg(0, signal.SIGKILL)


def _serve() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.set_int_max_str_digits(MAX_TEXT)
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    threading.Thread(target=_end_with_the_grader, args=(requests.fileno(),), daemon=True).start()
    # Output printed by a library must not reach the socket.
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    config = read_frame(requests)
    limits = {
        "max_feed_duration_secs": config["seconds"],
        "max_memory": config["memory_bytes"],
        "max_recursion_depth": 900,
        "max_suspensions": 1000,
    }
    with monty.Monty(
        min_processes=1,
        max_processes=1,
        request_timeout=config["seconds"] + 0.5,
        feed_duration_limit_grace=0.3,
    ) as pool:
        write_frame(replies, {"ready": monty.__version__})
        while (source := read_frame(requests)) is not None:
            write_frame(replies, run_program(pool, source, limits, config["output_bytes"]))
