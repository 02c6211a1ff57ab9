"""Chains of killed study runs: each attempt goes on where the one before was killed, the last must match."""

from __future__ import annotations

import hashlib
import json
import random
import signal
from dataclasses import dataclass, field
from pathlib import Path

from forkserver import ForkServer

WORK = "workloads:study"
# What holds wall-clock time, or is drawn from it: the report and the figure of accuracy over seconds.
CLOCKS = ("timing.jsonl", "seconds.json", "report.html", "report.json", "environment.json")


def study_digests(folder: Path) -> dict[str, str]:
    """Every file of a run with the digest of its content, wall-clock times left out."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if not path.is_file():
            continue
        data = path.read_bytes()
        if path.name in CLOCKS or name.startswith("runs/faults/figures/"):
            data = b""
        if path.name == "summary.json":
            data = json.dumps({**json.loads(data), "seconds": 0}).encode()
        found[name] = hashlib.sha256(data).hexdigest()
    return found


@dataclass
class Chain:
    """What happened to one run folder.

    Attributes:
        kills: where or when each attempt was killed.
        problems: what was not as promised; empty is good.
    """

    kills: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def injected_chain(
    server: ForkServer, folder: Path, expected: dict[str, str], moments: random.Random, *, most_points: int
) -> Chain:
    """Kill each attempt at a random one of its next fault points until one gets through."""
    chain = Chain()
    trace = folder.with_name(folder.name + ".trace")
    while True:
        point = moments.randint(1, most_points)
        trace.write_text("")
        outcome = server.run(WORK, folder=folder, fault=f"*:{point}", trace=trace)
        names = trace.read_text().splitlines()
        if outcome.status != -signal.SIGKILL:
            break
        chain.kills.append(f"{point}:{names[-1]}")
    return _finish(server, folder, expected, chain, outcome.status, outcome.said)


def random_chain(
    server: ForkServer,
    folder: Path,
    expected: dict[str, str],
    moments: random.Random,
    *,
    kills: int,
    longest: float,
) -> Chain:
    """Kill so many attempts after a random time each, then let one get through."""
    chain = Chain()
    for _ in range(kills):
        seconds = moments.uniform(0.0, longest)
        if server.run(WORK, folder=folder, kill_after=seconds).status == -signal.SIGKILL:
            chain.kills.append(f"{seconds:.2f} s")
    outcome = server.run(WORK, folder=folder)
    return _finish(server, folder, expected, chain, outcome.status, outcome.said)


def _finish(
    server: ForkServer, folder: Path, expected: dict[str, str], chain: Chain, status: int, said: str
) -> Chain:
    if status != 0:
        chain.problems.append(f"exit code {status}: {said[-2000:]}")
    found = study_digests(folder)
    for name in sorted({*found, *expected}):
        if found.get(name) != expected.get(name):
            chain.problems.append(
                f"{name} {'differs' if name in found and name in expected else 'is missing or extra'}"
            )
    return chain
