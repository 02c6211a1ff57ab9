"""One hierarchy of errors, so that the command line can answer in one sentence.

`InputError` is for the user to fix (exit code 2); any other `EchoError` is a
run that failed for a reason we understand (exit code 1). Anything else that
reaches the top is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EchoError(Exception):
    """A failure whose message is a sentence for the user."""

    exit_code = 1


class InputError(EchoError):
    """Something the user wrote or pointed at cannot be used: a config, a file, a name."""

    exit_code = 2


class Interrupted(EchoError):
    """The run was asked to stop; everything needed to continue is on disk."""

    exit_code = 130


def did_you_mean(value: str, known: Iterable[str]) -> str:
    """`" Did you mean 'x'?"` for the nearest known name, or an empty string."""
    nearest = difflib.get_close_matches(value, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{nearest[0]}'?" if nearest else ""
