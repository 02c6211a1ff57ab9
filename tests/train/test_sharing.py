"""Giving way to other processes: only what waits changes, never what is computed or where."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from echochamber.train import sharing

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's clocks of threads are Linux's")

TRAIN = """
import os, sys, time, torch
torch.set_num_threads({threads})
from echochamber.train.sharing import give_way_when_busy
a = torch.ones(256, 256)
torch.mm(a, a)
assert give_way_when_busy()
print("ready", flush=True)
sys.stdin.readline()
start = time.perf_counter()
for _ in range({products}):
    torch.mm(a, a)
print(time.perf_counter() - start, torch.get_num_threads(), len(os.sched_getaffinity(0)), flush=True)
"""


def started(threads: int, products: int) -> subprocess.Popen[str]:
    code = TRAIN.format(threads=threads, products=products)
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def together(processes: list[subprocess.Popen[str]]) -> list[list[float]]:
    """Seconds, threads and processors of processes that compute at the same time."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    return [[float(word) for word in process.communicate(timeout=120)[0].split()] for process in processes]


def number_of_threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


@pytest.mark.long
def test_two_runs_of_one_thread_use_two_processors() -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two processors")
    slowdowns = []
    for _ in range(4):  # something else may run beside the test
        alone = together([started(1, 1500)])[0][0]
        both = together([started(1, 1500), started(1, 1500)])
        assert {tuple(row[1:]) for row in both} == {(1.0, float(len(os.sched_getaffinity(0))))}
        slowdowns.append(max(row[0] for row in both) / alone)
        if slowdowns[-1] < 1.5:
            return
    pytest.fail(f"two runs of one thread slow each other down: {slowdowns}")


def test_a_crowd_comes_and_goes_and_changes_no_result() -> None:
    libgomp = sharing._libgomp()
    if libgomp is None:
        pytest.skip("torch without libgomp")
    a = torch.randn(300, 300, generator=torch.Generator().manual_seed(0))
    before = a @ a
    threads = number_of_threads()
    crowd = sharing._Crowd(libgomp)
    assert not crowd.gathered
    for _ in range(3):
        crowd.gather()
        crowd.gather()
        assert crowd.gathered
        assert number_of_threads() > threads
        assert torch.equal(a @ a, before)
        crowd.dismiss()
        crowd.dismiss()
        deadline = time.monotonic() + 10
        while number_of_threads() > threads and time.monotonic() < deadline:
            time.sleep(0.01)
        assert number_of_threads() == threads


def test_a_thread_that_stands_in_line_is_seen() -> None:
    """Four threads on one processor get a quarter of it each and wait for the rest."""
    code = """
import os, time, subprocess, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from echochamber.train.sharing import _Queue
others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3)]
queue = _Queue.of_this_thread()
queue.share_since_last()
end = time.perf_counter() + 1.0
while time.perf_counter() < end:
    pass
print(queue.share_since_last())
for other in others:
    other.kill()
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0.4 < float(result.stdout) <= 1.0


def test_watching_gathers_while_busy_and_dismisses_when_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([0.0, 0.5, 0.1, *[0.0] * sharing.PATIENCE, 0.0])
    seen: list[bool] = []
    asked: list[int] = []

    class Queue:
        def share_since_last(self) -> float:
            seen.append(crowd.gathered)
            return next(looks)

    class Crowd:
        gathered = False

        def gather(self) -> None:
            self.gathered = True

        def dismiss(self) -> None:
            self.gathered = False

    crowd = Crowd()
    monkeypatch.setattr(sharing, "WATCH_SECONDS", 0.0)
    monkeypatch.setattr(sharing, "_ask_for_slices", asked.append)
    with pytest.raises(StopIteration):
        sharing._watch(Queue(), crowd)  # type: ignore[arg-type]
    quiet = [True] * sharing.PATIENCE
    assert seen == [False, False, True, *quiet, False, False]
    assert asked == [sharing.SLICE_NANOSECONDS, 0]


def test_a_user_who_chose_how_threads_wait_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    sharing.give_way_when_busy.cache_clear()
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    before = threading.active_count()
    assert not sharing.give_way_when_busy()
    assert threading.active_count() == before
    sharing.give_way_when_busy.cache_clear()


def test_slices_leave_nice_values_alone() -> None:
    code = """
import os
before = os.nice(3)
from echochamber.train.sharing import _ask_for_slices
for nanoseconds in (500_000, 0):
    _ask_for_slices(nanoseconds)
print(os.nice(0) == before, os.sched_getscheduler(0) == os.SCHED_OTHER)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["True", "True"]
