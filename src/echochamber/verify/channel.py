"""The one way in which results of programs enter this process, from a sandbox or from a journal.

What arrives is data of unknown shape: a program may forge its answer, a file
may be damaged. Everything here is total: for any input it returns a valid `Execution` or None, in time linear
in the size of the input.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Collection

from echochamber.base import storable
from echochamber.verify.outcomes import Execution
from echochamber.verify.sandboxed.values import MAX_TEXT

# No message of a sandbox process is longer; one that claims to be is not a message.
MAX_MESSAGE_BYTES = 65_536
# How a program may have ended; a program in tier 2 could forge nothing beyond the second list.
STATUSES = frozenset({"ok", "runtime_error", "timeout", "memory", "unsupported", "syntax_error"})
OWN_STATUSES = frozenset({"ok", "runtime_error", "memory", "syntax_error"})

# How a value of each kind is written; a text written differently is not a value of that kind.
_WRITTEN = {
    "int": re.compile(r"-?[0-9]{1,4096}"),
    "float": re.compile(r"-?(?:[0-9]{1,24}(?:\.[0-9]{1,24})?(?:e[-+]?[0-9]{1,3})?|inf|nan)"),
    "decimal": re.compile(r"-?(?:[0-9]{1,4096}(?:\.[0-9]{1,4096})?(?:[eE][-+]?[0-9]{1,6})?|s?NaN|Infinity)"),
    "ratio": re.compile(r"-?[0-9]{1,4096}/0{0,4096}[1-9][0-9]{0,4095}"),
    "bool": re.compile(r"True|False"),
    "none": re.compile(r""),
    "str": re.compile(r".*", re.DOTALL),
    "latex": re.compile(r".*", re.DOTALL),
    "other": re.compile(r".*", re.DOTALL),
}


def message_of(body: bytes | bytearray) -> object:
    """The JSON value that `body` encodes, None if it encodes none."""
    try:
        return json.loads(body.decode("utf-8", "strict"))
    except (ValueError, RecursionError):
        return None


def split_messages(received: bytearray) -> list[object] | None:
    """Take the complete messages off the front of the received bytes; None if they are not messages."""
    messages: list[object] = []
    while len(received) >= 4:
        (length,) = struct.unpack_from("<I", received)
        if length > MAX_MESSAGE_BYTES:
            return None
        if len(received) < 4 + length:
            break
        messages.append(message_of(received[4 : 4 + length]))
        del received[: 4 + length]
    return messages


def checked(message: object, statuses: Collection[str] = STATUSES) -> Execution | None:
    """The result that a message states, None if it is not a result message.

    A value whose text does not fit its kind (an `int` of letters, a ratio over 0) becomes `other`, which
    equals no number. Lone surrogates are replaced, so that texts can be stored.
    """
    if type(message) is not dict:
        return None
    status = message.get("status")
    if type(status) is not str or status not in statuses:
        return None
    if status != "ok":
        return Execution(status)
    kind, value, output = (message.get(name) for name in ("kind", "value", "output"))
    if type(kind) is not str or type(value) is not str or type(output) is not str:
        return None
    if kind not in _WRITTEN or len(value) > MAX_TEXT or len(output) > MAX_TEXT:
        return None
    if not _WRITTEN[kind].fullmatch(value):
        kind = "other"
    return Execution("ok", kind, storable(value), storable(output))


def result_of(message: object) -> Execution:
    """The result that a worker's message states; any other message means that the program failed."""
    return checked(message) or Execution("runtime_error")


def answer_of(answer: bytes) -> Execution:
    """The result in everything a program's process wrote: exactly one message, or the program failed."""
    received = bytearray(answer)
    messages = split_messages(received)
    if received or not messages or len(messages) != 1:
        return Execution("runtime_error")
    return checked(messages[0], OWN_STATUSES) or Execution("runtime_error")
