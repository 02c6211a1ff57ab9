"""The processors that this process was given."""

from __future__ import annotations

import os


def _current() -> frozenset[int]:
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


# Read when the package is imported, before OpenMP (`OMP_PROC_BIND`) or anything else pins threads.
_AT_START = _current()


def machine_cpus() -> frozenset[int]:
    """Numbers of the processors this process had when it started, wherever its threads were pinned since.

    A container or `taskset` may leave fewer than the machine has.
    """
    return _AT_START
