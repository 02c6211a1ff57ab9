"""How long a user waits before anything happens: `--help`, and importing the package."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from echochamber.bench.measure import Settings, alone, describe_machine, target, timed

CASES = (
    ("echochamber --help", "from echochamber.cli.main import main; main(['--help'])", 0.5),
    ("import echochamber", "import echochamber", 0.2),
)
NO_PEER = "the wait of one's own command line has no peer"


def bench_startup(settings: Settings) -> dict[str, Any]:
    """Seconds from Python's start to its end, interpreter included; the fastest repetition counts."""
    rows = []
    for case, code, seconds in CASES:

        def work(repeat: int, code: str = code) -> None:
            subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)

        row = alone(timed(work, settings, case), why=NO_PEER)
        promised = target(row["ours"]["least_seconds"], "seconds", at_most=seconds)
        rows.append({"case": case, "targets": [promised], **row})
    return {"name": "startup", **rows[0], "machine": describe_machine(settings.machine), "rows": rows}
