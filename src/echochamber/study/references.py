"""Names in a study file that point at something the study has."""

from __future__ import annotations

from collections.abc import Sequence

from echochamber.base import Document, InputError, did_you_mean

IMPORTED = "its own data"
"""Mixture of a model made elsewhere."""


def must_exist(
    document: Document, key: tuple[str | int, ...], name: str, known: Sequence[str], kind: str
) -> None:
    """Refuse a name that is none of those known.

    Raises:
        InputError: with file, line and key, what the study has, and what may have been meant.
    """
    if name not in known:
        listed = ", ".join(known) or "none"
        raise InputError(
            f"{document.place(key)}: {'.'.join(map(str, key))}: no {kind} is named '{name}'; "
            f"this study has {listed}.{did_you_mean(name, known)}"
        )
