"""The process beside a tier 1 interpreter: reads programs from a pipe, has them run, answers with scalars.

Started as a script with nothing of this package imported, so that it is ready
in a few milliseconds. It runs no generated code itself: the interpreter is a
process of its own, which this one restarts when a program takes it down.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import signal
import struct
import sys
from decimal import Decimal
from typing import Any, BinaryIO

import pydantic_monty as monty

MAX_TEXT = 4096
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


def read_frame(stream: BinaryIO) -> Any:
    """One length-prefixed JSON message; None at the end of the stream."""
    header = stream.read(4)
    if len(header) < 4:
        return None
    (length,) = struct.unpack("<I", header)
    body = stream.read(length)
    return json.loads(body) if len(body) == length else None


def write_frame(stream: BinaryIO, message: Any) -> None:
    """Send one message."""
    body = json.dumps(message).encode()
    stream.write(struct.pack("<I", len(body)) + body)
    stream.flush()


def scalar(value: Any) -> tuple[str, str]:
    """(kind, text) of a value; a text beyond the limit becomes `other`, never a part taken for the whole."""
    if value is None:
        return "none", ""
    for kind, types in (("bool", bool), ("int", int), ("float", float), ("decimal", Decimal), ("str", str)):
        if isinstance(value, types):
            try:
                text = repr(value) if kind == "float" else str(value)
            except ValueError:
                return "other", "an integer of too many digits"
            return (kind, text) if len(text) <= MAX_TEXT else ("other", text[:MAX_TEXT])
    if isinstance(value, list | tuple | set | frozenset | dict):
        if len(value) > 64:
            return "other", f"a {type(value).__name__} of {len(value)} entries"
        return "other", repr(value)[:MAX_TEXT]
    return "other", type(value).__name__


def last_line(output: str) -> str:
    """The last line that is not empty, if short enough to be an answer."""
    lines = output.rstrip().rsplit("\n", 1)
    return lines[-1].strip()[:MAX_TEXT]


def status_of(error: monty.MontyError) -> str:
    """The outcome that an error of the interpreter stands for."""
    if isinstance(error, monty.MontyCrashedError):
        return "timeout" if error.timed_out else "memory"
    if isinstance(error, monty.MontySyntaxError):
        return "unsupported"
    inner = error.exception()
    if isinstance(inner, TimeoutError):
        return "timeout"
    if isinstance(inner, MemoryError):
        return "memory"
    if isinstance(inner, NotImplementedError) and "monty" in str(inner):
        return "unsupported"
    return "runtime_error"


def run_program(pool: monty.Monty, source: str, limits: dict[str, Any], output_bytes: int) -> dict[str, str]:
    """Run one program in a session of its own."""
    printed = monty.CollectString(max_bytes=output_bytes)
    code = ROUND_PRELUDE + source if "round" in source else source
    try:
        with pool.checkout(limits=limits, **_OPTIONS) as session:  # type: ignore[arg-type]
            value = session.feed_run(code, print_callback=printed)
            kind, text = scalar(value)
    except monty.MontyError as error:
        return {"status": status_of(error)}
    return {"status": "ok", "kind": kind, "value": text, "output": last_line(printed.output)}


def main() -> None:
    """Serve until the other end closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.set_int_max_str_digits(MAX_TEXT + 1 if MAX_TEXT > 640 else 0)
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # Nothing that a library prints may reach the pipe.
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
        while (request := read_frame(requests)) is not None:
            write_frame(replies, run_program(pool, request["source"], limits, config["output_bytes"]))


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main()
