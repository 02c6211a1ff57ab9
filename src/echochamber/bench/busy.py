"""Training steps beside other busy processes: with threads that yield, and with OpenMP's own waiting."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from echochamber.bench.measure import Settings, comparison, describe_machine, target

SIZE = "pico"
# Number of processes that compute beside the run, and the share of its idle speed that it must keep.
# Fair shares of two cores would be 67 and 40 %.
NEIGHBORS = {0: None, 1: 0.5, 3: 0.25}
IDLE_LOSS = 0.95
# Time trained before the clock starts, by which the watcher has measured the load of the machine.
SETTLE_SECONDS = 2.5
SECONDS = 2.0


class _TrainingProcess:
    """A process that trains on request."""

    def __init__(self, *, giving_way: bool) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"from echochamber.bench.busy import serve; serve({giving_way})"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def seconds_per_step(self, seconds: float) -> float:
        """Seconds per step when it trains for about the given time."""
        assert self._process.stdin is not None
        print(seconds, file=self._process.stdin, flush=True)
        return float(self._answer())

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


def serve(giving_way: bool) -> None:
    """For every number of seconds read from stdin, train that long and print the seconds per step."""
    from echochamber.bench.measure import Machine
    from echochamber.bench.pretrain import training_steps
    from echochamber.model import build, size_config
    from echochamber.train import give_way_when_busy, keep_freed_memory

    keep_freed_memory()
    if giving_way:
        give_way_when_busy()
    config = size_config(SIZE, vocab_size=1024, context_length=128)
    tokens = torch.randint(1024, (8, 129), generator=torch.Generator().manual_seed(1))
    work = training_steps(build(config, seed=0), tokens, 1, Machine.named("cpu"))
    for _ in range(5):
        work(0)
    print("ready", flush=True)
    for line in sys.stdin:
        start, count = time.perf_counter(), 0
        while time.perf_counter() - start < float(line):
            work(0)
            count += 1
        print((time.perf_counter() - start) / count, flush=True)


@contextmanager
def _neighbors(count: int) -> Iterator[None]:
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        time.sleep(0.2 if processes else 0.0)
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def bench_busy(settings: Settings) -> dict[str, Any]:
    """Seconds of a training step beside 0, 1 and 3 other processes that compute without pause.

    The two sides train the same model alternately, each in its own process; they differ in how OpenMP's
    threads wait for each other.
    """
    settle, seconds = (0.1, 0.1) if settings.quick else (SETTLE_SECONDS, SECONDS)
    times: dict[int, tuple[list[float], list[float]]] = {count: ([], []) for count in NEIGHBORS}
    trainers = _TrainingProcess(giving_way=True), _TrainingProcess(giving_way=False)
    try:
        with settings.show("busy machine", settings.repeats) as bar:
            for repeat in range(settings.repeats):
                for count, sides in times.items():
                    with _neighbors(count):
                        for trainer, side in zip(trainers, sides, strict=True):
                            trainer.seconds_per_step(settle)
                            side.append(trainer.seconds_per_step(seconds))
                bar.update(repeat + 1)
    finally:
        for trainer in trainers:
            trainer.close()
    rows = []
    idle = statistics.median(times[0][1])  # with OpenMP's own waiting, which is best on an idle machine
    for count, (ours, theirs) in times.items():
        row = comparison(ours, theirs, peer="OpenMP's own waiting", version=torch.__version__)
        wanted = NEIGHBORS[count]
        if wanted is None:
            promised = target(row["ratio"], "of the speed of OpenMP's own waiting", at_least=IDLE_LOSS)
        else:
            kept = idle / row["ours"]["median_seconds"]
            promised = target(kept, "of the idle machine's speed", at_least=wanted)
        case = f"{SIZE}, {count or 'no'} other process{'es' if count != 1 else ''}"
        rows.append({"case": case, "size": SIZE, "targets": [promised], **row})
    return {"name": "busy", **rows[0], "machine": describe_machine(settings.machine), "rows": rows}
