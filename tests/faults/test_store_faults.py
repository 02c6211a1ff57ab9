"""A whole study on a full, failing, read-only or moved disk, started twice, with settings changed half way.

`ECHOCHAMBER_SOAK=1` fills the disk in smaller steps and fails every kind of write instead of each third.
"""

import errno
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from forkserver import ForkServer, Outcome
from study_chains import WORK, study_digests

EVERYTHING = bool(os.environ.get("ECHOCHAMBER_SOAK"))
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    with ForkServer() as running:
        yield running


@pytest.fixture(scope="module")
def whole(server: ForkServer, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A run that nothing happened to, and the names of the fault points it passed, in order."""
    folder = tmp_path_factory.mktemp("whole")
    done = server.run(WORK, folder=folder / "run", trace=folder / "trace")
    assert done.status == 0, done.said
    return folder / "run", list(dict.fromkeys((folder / "trace").read_text().splitlines()))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, whose size and rights can be changed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=False).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


def is_a_sentence(outcome: Outcome) -> bool:
    return "error: " in outcome.said and "cannot write" in outcome.said and "Traceback" not in outcome.said


def test_a_full_disk_is_a_sentence_each_time_and_the_study_ends_the_same(
    server: ForkServer, whole: tuple[Path, list[str]], small_disk: Path
) -> None:
    """The disk fills up for real, at many places, since every attempt finds a little more of it."""
    refused = 0
    for kilobytes in range(100, 40_000, 400 if EVERYTHING else 2_500):
        remount(small_disk, f"size={kilobytes}k")
        outcome = server.run(WORK, folder=small_disk / "run")
        if outcome.status == 0:
            break
        assert outcome.status == 1, outcome.said
        assert is_a_sentence(outcome), outcome.said
        assert os.strerror(errno.ENOSPC) in outcome.said
        refused += 1
    assert outcome.status == 0 and refused >= 4
    assert study_digests(small_disk / "run") == study_digests(whole[0])


@pytest.mark.parametrize("turn", [0, 1] if EVERYTHING else [0])
def test_a_failing_disk_at_each_kind_of_write(
    server: ForkServer, whole: tuple[Path, list[str]], tmp_path: Path, turn: int
) -> None:
    """At each attempt the next kind of write fails from its first time on; in the end nothing is missing."""
    names = [name for name in whole[1] if name != "run.before_step"]
    assert len(names) >= 30
    for number, name in enumerate(names if EVERYTHING else names[::3]):
        error = ("EIO", "ENOSPC")[(number + turn) % 2]
        outcome = server.run(WORK, folder=tmp_path / "run", fault=f"{name}:1:{error}")
        assert outcome.status == 1, (name, outcome.said)
        assert is_a_sentence(outcome), (name, outcome.said)
        assert os.strerror(getattr(errno, error)) in outcome.said
    last = server.run(WORK, folder=tmp_path / "run")
    assert last.status == 0, last.said
    assert study_digests(tmp_path / "run") == study_digests(whole[0])


def test_a_read_only_disk_is_refused_and_left_as_it_is(
    server: ForkServer, whole: tuple[Path, list[str]], small_disk: Path
) -> None:
    remount(small_disk, "size=64m")
    shutil.copytree(whole[0], small_disk / "run")
    shutil.rmtree(next((small_disk / "run").rglob("store/arm-*")))
    before = study_digests(small_disk / "run")
    remount(small_disk, "ro")
    outcome = server.run(WORK, folder=small_disk / "run")
    assert outcome.status == 2, outcome.said
    assert is_a_sentence(outcome) and os.strerror(errno.EROFS) in outcome.said
    assert study_digests(small_disk / "run") == before


def test_a_half_finished_study_goes_on_elsewhere_and_with_other_checkpoints(
    server: ForkServer, whole: tuple[Path, list[str]], tmp_path: Path
) -> None:
    """Killed inside pretraining and again inside an arm, moved between, checkpointed at other steps."""
    killed = server.run(WORK, folder=tmp_path / "here", fault="run.before_step:15")
    assert killed.status == -signal.SIGKILL
    (tmp_path / "here").rename(tmp_path / "there")
    changes = ["pretrain.checkpoint_every=7", "arms.grpo.checkpoint_every=2", "arms.ei.checkpoint_every=3"]
    again = server.run(WORK, folder=tmp_path / "there", changes=changes, fault="run.before_step:16")
    assert again.status == -signal.SIGKILL
    assert "continuing after step 12 of 24" in again.said
    assert next((tmp_path / "there").rglob("store/arm-*.partial/checkpoints"))
    (tmp_path / "there").rename(tmp_path / "here")
    last = server.run(WORK, folder=tmp_path / "here")
    assert last.status == 0, last.said
    assert len(re.findall(r"continuing after step \d of 4", last.said)) == 1
    assert study_digests(tmp_path / "here") == study_digests(whole[0])
    moved = shutil.move(tmp_path / "here", tmp_path / "elsewhere")
    once_more = server.run(WORK, folder=Path(moved))
    assert once_more.said.count("in the store") == 10 and "nothing has changed" in once_more.said


def test_a_clock_that_goes_back_changes_nothing(
    server: ForkServer, whole: tuple[Path, list[str]], tmp_path: Path
) -> None:
    done = server.run("workloads:study_while_the_clock_goes_back", folder=tmp_path / "run")
    assert done.status == 0, done.said
    assert study_digests(tmp_path / "run") == study_digests(whole[0])


def test_a_second_process_is_refused_and_the_first_goes_on(
    server: ForkServer, whole: tuple[Path, list[str]], tmp_path: Path
) -> None:
    with ForkServer() as other:
        first: list[Outcome] = []
        thread = threading.Thread(target=lambda: first.append(other.run(WORK, folder=tmp_path / "run")))
        thread.start()
        lock = tmp_path / "run" / "runs" / "faults" / "lock"
        while not (lock.exists() and lock.stat().st_size):
            time.sleep(0.02)
        second = server.run(WORK, folder=tmp_path / "run")
        thread.join()
    assert second.status == 2
    assert re.search(rf"faults is in use by process \d+ on {os.uname().nodename}", second.said)
    assert first[0].status == 0, first[0].said
    assert study_digests(tmp_path / "run") == study_digests(whole[0])
