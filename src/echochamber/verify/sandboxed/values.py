"""A program's value as a scalar: a kind and a text, nothing that could carry behaviour."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

MAX_TEXT = 4096
_MAX_ENTRIES = 64


def scalar(value: Any) -> tuple[str, str]:
    """(kind, text) of a value; a text beyond the limit becomes `other`, never a part taken for the whole.

    A list, tuple or set of one entry stands for that entry, as equation solvers return.
    """
    if value is None:
        return "none", ""
    for kind, types in (("bool", bool), ("int", int), ("float", float), ("decimal", Decimal), ("str", str)):
        if isinstance(value, types):
            return _limited(kind, value)
    if isinstance(value, list | tuple | set | frozenset):
        if len(value) == 1:
            (entry,) = value
            return (
                scalar(entry)
                if not isinstance(entry, list | tuple | set | frozenset)
                else ("other", repr(value))
            )
        if len(value) > _MAX_ENTRIES:
            return "other", f"a {type(value).__name__} of {len(value)} entries"
        return "other", repr(value)[:MAX_TEXT]
    if isinstance(value, dict):
        return "other", f"a dict of {len(value)} entries"
    return "other", type(value).__name__


def _limited(kind: str, value: Any) -> tuple[str, str]:
    try:
        # The base class's own text: a subclass could answer with anything.
        text = {"bool": bool.__repr__, "int": int.__repr__, "float": float.__repr__}.get(kind, str)(value)
    except ValueError:
        return "other", "an integer of too many digits"
    return (kind, text) if len(text) <= MAX_TEXT else ("other", text[:MAX_TEXT])


def last_line(output: str) -> str:
    """The last line that is not empty, if short enough to be an answer."""
    return output.rstrip().rpartition("\n")[2].strip()[:MAX_TEXT]
