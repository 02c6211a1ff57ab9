"""Wall-clock files of a stage: kept beside its results, part of none of them, never worth making it again."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from echochamber.base import EchoError, read_json, write_json

SECONDS, TIMING = "seconds.json", "timing.jsonl"
CLOCK_FILES = (TIMING, SECONDS)


def read_seconds(folder: Path) -> float | None:
    """Compute seconds that a stage took so far, over all its runs; None where that is not known."""
    try:
        found = read_json(folder / SECONDS)
    except EchoError:
        return None
    return float(found["seconds"]) if _is_clock(found) else None


def write_seconds(folder: Path, seconds: float) -> None:
    """Keep the compute seconds of a stage, over all its runs."""
    write_json(folder / SECONDS, {"seconds": seconds})


def spoilt_clocks(folder: Path) -> list[Path]:
    """The clock files of a stage that are there and cannot be read."""
    spoilt = [folder / SECONDS] if read_seconds(folder) is None else []
    try:
        lines = (folder / TIMING).read_text(encoding="utf-8").splitlines()
        if not all(_is_clock(json.loads(line)) for line in lines):
            spoilt.append(folder / TIMING)
    except (OSError, ValueError):
        spoilt.append(folder / TIMING)
    return [path for path in spoilt if path.exists()]


def _is_clock(row: Any) -> bool:
    """Whether a row says how many seconds something took."""
    if not isinstance(row, dict):
        return False
    seconds, step = row.get("seconds"), row.get("step", 0)
    timed = isinstance(seconds, int | float) and math.isfinite(seconds)
    return timed and (step is None or isinstance(step, int))
