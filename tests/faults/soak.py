"""Kill a small study again and again for a settable time: `python tests/faults/soak.py --minutes 30`.

At least 200 kills at fault points and 50 at random times, however short the time is.
Prints one line per chain and a summary; exits with 1 if any run did not end with the same files.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from forkserver import ForkServer
from study_chains import WORK, Chain, injected_chain, random_chain, study_digests

# An attempt passes about fifteen points before it works, and some thirty between two checkpoints: with fewer
# than that a chain would never get through.
MOST_POINTS = 120

# What a soak must at least have tried, however short its time.
LEAST_INJECTED, LEAST_TIMED = 200, 50

# This many problems are enough to look at.
MOST_PROBLEMS = 20

# Growth over the later runs of one process that counts as a leak.
ALLOWED_MEGABYTES, ALLOWED_FILES = 64, 4


def leaks(server: ForkServer, folder: Path, times: int) -> list[str]:
    """Run the study several times in one process and compare memory and open files early and late."""
    outcome = server.run("workloads:study_again_and_again", folder=folder, times=times, timeout=3600.0)
    readings = [
        (int(a), int(b)) for a, b in re.findall(r"after a study: (\d+) MB, (\d+) open files", outcome.said)
    ]
    print(f"one process, {times} studies: (MB, open files) {readings}", flush=True)
    if len(readings) != times:
        return [f"exit code {outcome.status}: {outcome.said[-2000:]}"]
    memory, files = (readings[-1][i] - readings[1][i] for i in (0, 1))
    problems = [] if memory <= ALLOWED_MEGABYTES else [f"memory grew by {memory} MB"]
    return problems if files <= ALLOWED_FILES else [*problems, f"open files grew by {files}"]


def soak(server: ForkServer, base: Path, minutes: float, seed: int) -> list[str]:
    """Chains until the time is over; returns what went wrong."""
    whole = server.run(WORK, folder=base / "whole")
    if whole.status != 0:
        return [f"undisturbed: exit code {whole.status}: {whole.said[-2000:]}"]
    expected = study_digests(base / "whole")
    moments = random.Random(seed)
    end = time.monotonic() + 60 * minutes
    points: Counter[str] = Counter()
    timed, problems, number = 0, [], 0
    while (time.monotonic() < end or sum(points.values()) < LEAST_INJECTED or timed < LEAST_TIMED) and len(
        problems
    ) < MOST_PROBLEMS:
        folder = base / f"chain-{number}"
        chain: Chain
        if number % 4 == 3:
            chain = random_chain(server, folder, expected, moments, kills=15, longest=4.0)
            timed += len(chain.kills)
        else:
            chain = injected_chain(server, folder, expected, moments, most_points=MOST_POINTS)
            points.update(kill.partition(":")[2] for kill in chain.kills)
        problems += chain.problems
        print(f"chain {number}: {len(chain.kills)} kills, {chain.problems or 'identical'}", flush=True)
        number += 1
        if not chain.problems:
            shutil.rmtree(folder)
    print(f"{sum(points.values())} injected kills at {len(points)} kinds of points, {timed} timed ones")
    print(", ".join(f"{name} {count}" for name, count in sorted(points.items())))
    return problems


def main() -> int:
    """Parse the command line, soak, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--studies", type=int, default=4, help="studies in one process, to look for leaks")
    arguments = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="soak-"))
    with ForkServer() as server:
        problems = soak(server, base, arguments.minutes, arguments.seed)
        if arguments.studies > 1:
            problems += leaks(server, base / "again", arguments.studies)
    if problems:
        print("\n".join(["NOT as promised:", *problems, f"kept for inspection: {base}"]))
        return 1
    shutil.rmtree(base)
    print("all identical, no growth")
    return 0


if __name__ == "__main__":
    sys.exit(main())
