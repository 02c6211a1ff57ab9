"""Pretraining killed, starved of disk and fed damaged files: it ends with the same bytes or a sentence.

`ECHOCHAMBER_SOAK=1` tries every point instead of the last passage of each.
"""

import hashlib
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from forkserver import ForkServer

pytestmark = pytest.mark.long

EVERYTHING = bool(os.environ.get("ECHOCHAMBER_SOAK"))
WORK = "workloads:pretrain"
# Wall-clock times differ between any two runs.
NOT_COMPARED = {"timing.jsonl"}


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    with ForkServer() as running:
        yield running


def digests(folder: Path) -> dict[str, str]:
    """Every file below a folder with the digest of its content."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in NOT_COMPARED
    }


@pytest.fixture(scope="module")
def undisturbed(
    server: ForkServer, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, str], list[str]]:
    """Digests of a run that nothing happened to, and the fault points it passed, in order."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert server.run(WORK, folder=folder / "run", trace=folder / "trace").status == 0
    found = digests(folder / "run")
    snapshot = [f"snapshots/step-00000003/{name}" for name in ("config.json", "model.safetensors")]
    assert sorted(found) == ["metrics.jsonl", "model/config.json", "model/model.safetensors", *snapshot]
    return found, (folder / "trace").read_text().splitlines()


def chosen_points(trace: list[str]) -> list[int]:
    """Numbers of passages, from 1: all of them, or the last of each name."""
    if EVERYTHING:
        return list(range(1, len(trace) + 1))
    last = {name: i + 1 for i, name in enumerate(trace)}
    return sorted(last.values())


def test_killed_at_every_fault_point(
    server: ForkServer, undisturbed: tuple[dict[str, str], list[str]], tmp_path: Path
) -> None:
    expected, trace = undisturbed
    assert len(trace) > 70
    for point in chosen_points(trace):
        folder = tmp_path / str(point)
        killed = server.run(WORK, folder=folder, fault=f"*:{point}")
        assert killed.status == -signal.SIGKILL, (trace[point - 1], killed)
        resumed = server.run(WORK, folder=folder)
        assert resumed.status == 0, (trace[point - 1], resumed.said)
        assert digests(folder) == expected, (trace[point - 1], resumed.said)


def test_killed_again_and_again(
    server: ForkServer, undisturbed: tuple[dict[str, str], list[str]], tmp_path: Path
) -> None:
    """Each attempt is killed a little later than the one before got; progress still accumulates."""
    expected, _ = undisturbed
    attempts = 1
    while (outcome := server.run(WORK, folder=tmp_path / "run", fault="*:31")).status == -signal.SIGKILL:
        attempts += 1
        assert attempts < 20
    assert attempts > 2
    assert outcome.status == 0
    assert digests(tmp_path / "run") == expected


def test_killed_at_random_moments(
    server: ForkServer, undisturbed: tuple[dict[str, str], list[str]], tmp_path: Path
) -> None:
    expected, _ = undisturbed
    moments = random.Random(0)
    for trial in range(50 if EVERYTHING else 3):
        folder = tmp_path / str(trial)
        for _ in range(3):
            server.run(WORK, folder=folder, kill_after=moments.uniform(0.0, 0.15))
        assert server.run(WORK, folder=folder).status == 0
        assert digests(folder) == expected


@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_a_failing_disk_is_a_sentence_and_nothing_is_lost(
    server: ForkServer, undisturbed: tuple[dict[str, str], list[str]], tmp_path: Path, error: str
) -> None:
    expected, trace = undisturbed
    names = sorted({name for name in trace if name != "run.before_step"})
    if error == "EIO" and not EVERYTHING:
        names = names[::5]
    for name in names:
        folder = tmp_path / name
        failed = server.run(WORK, folder=folder, fault=f"{name}:{min(2, trace.count(name))}:{error}")
        assert failed.status == 1, (name, failed.said)
        assert (
            "cannot write" in failed.said and os.strerror(getattr(__import__("errno"), error)) in failed.said
        )
        assert "Traceback" not in failed.said
        again = server.run(WORK, folder=folder)
        assert again.status == 0, (name, again.said)
        assert digests(folder) == expected, (name, again.said)


def half_done(server: ForkServer, folder: Path) -> Path:
    """A run killed before its last step, with checkpoints after steps 2 and 4; returns the newer one."""
    assert server.run(WORK, folder=folder, fault="run.before_step:6").status == -signal.SIGKILL
    newest = folder / "checkpoints" / "step-00000004"
    assert newest.is_dir()
    return newest


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x04
    path.write_bytes(data)


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


FILES = ("MANIFEST.json", "values.json", "model.safetensors", "model.optimizer.safetensors")


@pytest.mark.parametrize("damage", [flip_a_bit, cut_short, Path.unlink])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_checkpoint_is_set_aside(
    server: ForkServer,
    undisturbed: tuple[dict[str, str], list[str]],
    tmp_path: Path,
    damage: object,
    name: str,
) -> None:
    newest = half_done(server, tmp_path / "run")
    damage(newest / name)  # type: ignore[operator]
    resumed = server.run(WORK, folder=tmp_path / "run")
    assert resumed.status == 0
    assert "step-00000004 cannot be used" in resumed.said
    assert "continuing after step 2 of 6" in resumed.said
    assert digests(tmp_path / "run") == undisturbed[0]


@pytest.mark.parametrize("damage", [flip_a_bit, cut_short, Path.unlink])
def test_damaged_metrics_are_written_again(
    server: ForkServer, undisturbed: tuple[dict[str, str], list[str]], tmp_path: Path, damage: object
) -> None:
    half_done(server, tmp_path / "run")
    damage(tmp_path / "run" / "metrics.jsonl")  # type: ignore[operator]
    resumed = server.run(WORK, folder=tmp_path / "run")
    assert resumed.status == 0
    assert "metrics.jsonl" in resumed.said and "cannot be used" in resumed.said
    assert digests(tmp_path / "run") == undisturbed[0]


def test_all_checkpoints_damaged_starts_over(
    server: ForkServer, undisturbed: tuple[dict[str, str], list[str]], tmp_path: Path
) -> None:
    newest = half_done(server, tmp_path / "run")
    for checkpoint in newest.parent.iterdir():
        flip_a_bit(checkpoint / "model.safetensors")
    resumed = server.run(WORK, folder=tmp_path / "run")
    assert resumed.status == 0
    assert "continuing after" not in resumed.said
    assert digests(tmp_path / "run") == undisturbed[0]


def test_a_moved_folder_goes_on(
    server: ForkServer, undisturbed: tuple[dict[str, str], list[str]], tmp_path: Path
) -> None:
    half_done(server, tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    resumed = server.run(WORK, folder=tmp_path / "there")
    assert resumed.status == 0
    assert "continuing after step 4" in resumed.said
    assert digests(tmp_path / "there") == undisturbed[0]


def test_sigterm_leaves_a_checkpoint_and_a_second_one_stops_at_once(
    server: ForkServer, undisturbed: tuple[dict[str, str], list[str]], tmp_path: Path
) -> None:
    stopped = server.run("workloads:pretrain_slowly", folder=tmp_path / "run", signals=[(0.4, "SIGTERM")])
    assert stopped.status == 130, stopped.said
    assert "SIGTERM: stopped after step" in stopped.said
    assert not (tmp_path / "run" / "lock").exists()
    at_once = server.run(
        "workloads:pretrain_slowly", folder=tmp_path / "run", signals=[(0.15, "SIGINT"), (0.2, "SIGINT")]
    )
    assert at_once.status == 130, at_once.said
    assert "second SIGINT" in at_once.said
    assert server.run(WORK, folder=tmp_path / "run").status == 0
    assert digests(tmp_path / "run") == undisturbed[0]


def test_a_folder_below_a_file_is_the_users_error(server: ForkServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = server.run(WORK, folder=tmp_path / "file" / "run")
    assert refused.status == 2
    assert "cannot write" in refused.said
    assert (tmp_path / "file").read_text() == ""
