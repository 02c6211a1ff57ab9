"""Messages between the grader and its processes: length-prefixed JSON."""

from __future__ import annotations

import json
import os
import struct
from typing import Any, BinaryIO

# What a tier 1 worker answers when a program crashed the interpreter's process.
CRASHED = {"status": "crashed"}


def read_frame(stream: BinaryIO) -> Any:
    """One message; None at the end of the stream."""
    header = stream.read(4)
    if len(header) < 4:
        return None
    (length,) = struct.unpack("<I", header)
    body = stream.read(length)
    return json.loads(body) if len(body) == length else None


def frame(message: Any) -> bytes:
    """A message as bytes."""
    body = json.dumps(message).encode()
    return struct.pack("<I", len(body)) + body


def write_frame(stream: BinaryIO, message: Any) -> None:
    """Send one message."""
    stream.write(frame(message))
    stream.flush()


def write_all(descriptor: int, data: bytes) -> None:
    """Write to a descriptor using only `write`, which a confined process may still call."""
    while data:
        data = data[os.write(descriptor, data) :]
