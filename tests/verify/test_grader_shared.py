"""One grader and many threads, forks, pinned threads, and a host that dies."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from echochamber.verify import ExecutionLimits, Grader, Verdict, grade
from echochamber.verify.pool import Pool
from echochamber.verify.sandboxed import confinement

LIMITS = ExecutionLimits(seconds=10.0, confined_seconds=30.0)
needs_confinement = pytest.mark.skipif(bool(confinement.refusal()), reason=f"{confinement.refusal()}")
both_tiers = pytest.mark.parametrize("tiers", [(1,), pytest.param((1, 2), marks=needs_confinement)])
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")


def batch(number: int) -> list[str]:
    """Programs of both tiers, text and mistakes; some are in every batch, some in this one alone."""
    return [
        f"def f():\n    return {number} + 1",
        "def f():\n    return 3 + 4",
        f"<llm-code>\nfrom fractions import Fraction\nFraction({2 * number}, 2)\n</llm-code>",
        "<llm-code>\nimport sympy\nsympy.Integer(7)\n</llm-code>",
        f"The answer is \\boxed{{{number}}}.",
        f"def f():\n    return {number} / 0",
        f"def f():\n    return {number} +",
        f"#### {number}",
    ]


def in_threads(number: int, work: Callable[[int], object]) -> None:
    errors: list[BaseException] = []

    def guarded(index: int) -> None:
        try:
            work(index)
        except BaseException as error:  # noqa: BLE001 - shown by the test
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


@both_tiers
def test_threads_share_a_grader(tiers: tuple[int, ...]) -> None:
    with Grader(tiers=tiers, limits=LIMITS, workers=2) as alone:
        expected = [alone.grade(batch(number), ["7"] * 8) for number in range(8)]
    found: dict[tuple[int, int], list[Verdict]] = {}
    with Grader(tiers=tiers, limits=LIMITS, workers=2) as shared:

        def work(number: int) -> None:
            for time_ in range(3):
                rules = "math" if time_ == 1 else "gsm8k"
                found[number, time_] = shared.grade(batch(number), ["7"] * 8, rules=rules)

        in_threads(8, work)
    for (number, _), verdicts in found.items():
        assert verdicts == expected[number]
    assert len(found) == 24


def test_threads_share_the_grader_of_single_completions() -> None:
    rewards = {}

    def work(number: int) -> None:
        rewards[number] = [grade(text, "7").reward for text in batch(number)[:2]]

    in_threads(8, work)
    assert rewards == {number: [float(number == 6), 1.0] for number in range(8)}


@both_tiers
def test_processes_outlive_the_thread_that_started_them(tiers: tuple[int, ...]) -> None:
    with Grader(tiers=tiers, limits=LIMITS, workers=1) as grader:
        in_threads(1, lambda _: grader.grade(batch(1), ["7"] * 8))
        time.sleep(0.2)
        before = processes_of(grader)
        assert all(process.poll() is None for process in before)
        assert grader.grade(batch(2), ["7"] * 8)[1].reward == 1.0
        assert processes_of(grader) == before


def processes_of(grader: Grader) -> list[subprocess.Popen[bytes]]:
    pool, confined = grader._interpreters, grader._confined
    found = [child.process for child in pool._children] if pool else []
    return found + ([server.process for server in confined._servers._servers] if confined else [])


@both_tiers
def test_a_forked_child_starts_its_own_processes(tiers: tuple[int, ...]) -> None:
    with Grader(tiers=tiers, limits=LIMITS, workers=1) as grader:
        expected = grader.grade(batch(1), ["7"] * 8)
        before = processes_of(grader)
        with grader.turn:
            child = os.fork()
        if child == 0:
            status = 1
            try:
                same = grader.grade(batch(2), ["7"] * 8)[1].reward == 1.0
                status = 0 if same and not set(processes_of(grader)) & set(before) else 2
                grader.close()
            finally:
                os._exit(status)
        verdicts = grader.grade([*batch(1), *batch(3)], ["7"] * 16)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert verdicts[:8] == expected
        assert processes_of(grader) == before
        assert all(process.poll() is None for process in before)


def test_a_batch_that_was_interrupted_leaves_nothing_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    with Grader(workers=2) as grader:
        for start in range(0, 10_000, 20):
            assert grader.grade([f"def f():\n    return {start + n}" for n in range(20)], ["7"] * 20)
            if all(child.ready for child in grader._interpreters._children):  # type: ignore[union-attr]
                break
        monkeypatch.setattr(Pool, "_step", interrupted)
        slow = "def f():\n    total = 0\n    for n in range(300000):\n        total += n\n    return 8"
        with pytest.raises(KeyboardInterrupt):
            grader.grade([slow], ["7"])
        monkeypatch.undo()
        # It goes to the idle worker, and its answer comes before that of the interrupted program.
        assert grader.grade(["def f():\n    return 3 + 4"], ["7"])[0].answer == "7"


def interrupted(pool: Pool, work: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
@both_tiers
def test_workers_may_use_every_processor_though_their_starter_is_pinned(tiers: tuple[int, ...]) -> None:
    everything = os.sched_getaffinity(0)

    def work(_: int) -> None:
        os.sched_setaffinity(0, {min(everything)})
        with Grader(tiers=tiers, limits=LIMITS, workers=1) as grader:
            grader.grade(batch(1), ["7"] * 8)
            pinned = [os.sched_getaffinity(process.pid) for process in processes_of(grader)]
        assert pinned == [everything] * len(tiers)

    in_threads(1, work)
    assert os.sched_getaffinity(0) == everything


ENDLESS = {
    1: "def f():\n    while True:\n        pass",
    2: "<llm-code>\nimport sympy\nwhile True:\n    pass\n</llm-code>",
}
HOST = """
import threading, time
from echochamber.verify import Grader, ExecutionLimits
with Grader(tiers=({tier},), limits=ExecutionLimits(seconds=60, confined_seconds=60), workers=1) as grader:
    grader.grade(["def f():\\n    return 7"], ["7"])
    threading.Thread(target=grader.grade, args=([{endless!r}], ["7"])).start()
    time.sleep(1)
    pool, confined = grader._interpreters, grader._confined
    started = pool._children if pool else confined._servers._servers
    print(started[0].process.pid, flush=True)
    time.sleep(60)
"""


@on_linux
@pytest.mark.parametrize("tier", [1, pytest.param(2, marks=needs_confinement)])
def test_nothing_outlives_a_host_that_is_killed(tier: int) -> None:
    script = HOST.format(tier=tier, endless=ENDLESS[tier])
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as host:
        assert host.stdout is not None
        family = descendants([int(host.stdout.readline())])
        assert len(family) == 2, "the program runs in a process of its own"
        host.kill()
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in family) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in family if alive(pid)]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def descendants(pids: list[int]) -> list[int]:
    found = list(pids)
    for pid in found:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    return found
