"""One process per run folder."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from echochamber.base import InputError, Interrupted, RunLock, lock, stop_signals

HOLD = """
import sys, time
from pathlib import Path
from echochamber.base import RunLock
with RunLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""

FORK_AND_DIE = """
import os, signal, sys, time
from pathlib import Path
from echochamber.base import RunLock
with RunLock(Path(sys.argv[1])):
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    print(child, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def start(script: str, path: Path) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_a_second_process_is_refused_with_pid_and_host_and_a_stale_lock_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "run" / "lock"
    process, said = start(HOLD, path)
    assert said == "held"
    try:
        with (
            pytest.raises(InputError, match=rf"in use by process {process.pid} on {os.uname().nodename}"),
            RunLock(path),
        ):
            pass
    finally:
        process.kill()
        process.wait()
    assert json.loads(path.read_text())["pid"] == process.pid
    with RunLock(path):
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert not path.exists()


def test_a_child_that_outlives_the_holder_does_not_keep_the_lock(tmp_path: Path) -> None:
    process, child = start(FORK_AND_DIE, tmp_path / "lock")
    process.wait()
    try:
        with RunLock(tmp_path / "lock"):
            pass
    finally:
        os.kill(int(child), signal.SIGKILL)


def test_one_that_waits_goes_on_when_the_holder_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "lock"
    process, said = start(HOLD, path)
    assert said == "held"
    ender = threading.Timer(0.3, process.kill)
    ender.start()
    with RunLock(path, what="'this stage'", wait=True):
        assert json.loads(path.read_text())["pid"] == os.getpid()
    process.wait()
    assert f"waiting: 'this stage' is in use by process {process.pid}" in capsys.readouterr().out


def test_one_that_waits_can_be_asked_to_stop(tmp_path: Path) -> None:
    process, _ = start(HOLD, tmp_path / "lock")
    (tmp_path / "stop").touch()
    try:
        with (
            stop_signals(flag=tmp_path / "stop"),
            pytest.raises(Interrupted, match="stopped while waiting"),
            RunLock(tmp_path / "lock", wait=True),
        ):
            pass
    finally:
        process.kill()
        process.wait()


def test_the_same_process_is_refused_too(tmp_path: Path) -> None:
    with (
        RunLock(tmp_path / "lock"),
        pytest.raises(InputError, match="by this process"),
        RunLock(tmp_path / "lock"),
    ):
        pass
    with RunLock(tmp_path / "lock"):
        pass


def test_threads_take_turns(tmp_path: Path) -> None:
    inside, most = [], []

    def work(number: int) -> None:
        with RunLock(tmp_path / "lock", wait=True):
            inside.append(number)
            most.append(len(inside))
            time.sleep(0.02)
            inside.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 4
    assert not list(tmp_path.iterdir())


def test_a_forked_child_leaves_the_lock_to_its_parent(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with RunLock(path):
        child = os.fork()
        if child == 0:
            try:
                with RunLock(path):
                    os._exit(1)
            except InputError as error:
                os._exit(0 if f"process {os.getppid()}" in str(error) else 2)
            os._exit(3)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert path.exists()


def test_a_lock_below_a_file_is_the_users_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"), RunLock(tmp_path / "file" / "lock"):
        pass


def test_without_kernel_locks_the_content_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*arguments: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(lock.fcntl, "lockf", unsupported)
    path = tmp_path / "lock"
    host = os.uname().nodename
    ours = {"pid": os.getpid(), "host": host, "started": lock._start_of(os.getpid())}
    refused = [ours, {"pid": 1, "host": "elsewhere", "started": "5"}]
    gone = subprocess.Popen(["true"])
    gone.wait()
    allowed = [{"pid": gone.pid, "host": host, "started": "5"}, {**ours, "started": "another"}, {"half": 1}]
    for holder in refused:
        path.write_text(json.dumps(holder))
        with pytest.raises(InputError, match=f"process {holder['pid']} on {holder['host']}"), RunLock(path):
            pass
    for holder in allowed:
        path.write_text(json.dumps(holder))
        with RunLock(path):
            pass
