"""A program's value as a scalar: a kind and a text, nothing that could carry behavior."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

MAX_TEXT = 4096
_MAX_ENTRIES = 64

# How a value of each kind is written: by the method of its built-in class, not by that of a subclass, which
# could return anything.
_SCALARS: tuple[tuple[str, type, Callable[[Any], str]], ...] = (
    ("bool", bool, bool.__repr__),
    ("int", int, int.__repr__),
    ("float", float, float.__repr__),
    ("decimal", Decimal, Decimal.__str__),
    ("str", str, str.__str__),
)


def scalar(value: Any) -> tuple[str, str]:
    """(kind, text) of a value; a text beyond the limit becomes `other`, so that no part passes for the whole.

    A list, tuple or set with one entry is treated as that entry, as equation solvers return.
    """
    if value is None:
        return "none", ""
    # The type itself is checked: `isinstance` trusts what a value says about its class.
    own = type(value)
    for kind, builtin, write in _SCALARS:
        if issubclass(own, builtin):
            return limited(kind, write, value)
    if issubclass(own, list | tuple | set | frozenset):
        if len(value) == 1:
            (entry,) = value
            if not issubclass(type(entry), list | tuple | set | frozenset):
                return scalar(entry)
        if len(value) > _MAX_ENTRIES:
            return "other", f"a {own.__name__} of {len(value)} entries"
        return "other", _shown(value)
    if issubclass(own, dict):
        return "other", f"a dict of {len(value)} entries"
    return "other", own.__name__


def limited(kind: str, write: Callable[[Any], str], value: Any) -> tuple[str, str]:
    """(kind, text) of a value that `write` writes; `other` where that cannot be done or is too long."""
    try:
        text = write(value)
    except ValueError:
        return "other", "an integer of too many digits"
    return (kind, text) if len(text) <= MAX_TEXT else ("other", text[:MAX_TEXT])


def _shown(value: Any) -> str:
    """The `repr`, or the name of the class where that fails (deep nesting, integers too long)."""
    try:
        return str.__str__(repr(value))[:MAX_TEXT]
    except Exception:  # noqa: BLE001 - the entries may be a program's own objects
        return type(value).__name__


def last_line(output: str) -> str:
    """The last nonempty line, if it is short enough to be an answer."""
    return output.rstrip().rpartition("\n")[2].strip()[:MAX_TEXT]
