"""Commands and writers that several processes run at once on one place."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from echochamber.base import InputError, RunLock, atomic_folder
from echochamber.cli.main import run_cli
from synthetic import make_run


def at_once(*commands: list[str]) -> list[tuple[int, str]]:
    """Exit code and everything said of commands that start together."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "echochamber", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for command in commands
    ]
    said = [process.communicate(timeout=240)[0] for process in processes]
    return list(zip((process.returncode for process in processes), said, strict=True))


def rows(path: Path, number: int) -> Path:
    text = "".join(json.dumps({"completion": f"\\boxed{{{n}}}", "gold": "7"}) + "\n" for n in range(number))
    path.write_text(text)
    return path


def test_grading_to_one_file_at_once(tmp_path: Path) -> None:
    few, many = rows(tmp_path / "few.jsonl", 10), rows(tmp_path / "many.jsonl", 20_000)
    out = tmp_path / "out.jsonl"
    ended = at_once(*(["grade", str(path), "--out", str(out)] for path in (few, many, few, many)))
    assert any(code == 0 for code, _ in ended)
    for code, said in ended:
        assert code == 0 or (code == 2 and f"{out} is in use by" in said), said
    assert len(out.read_text().splitlines()) in (10, 20_000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["few.jsonl", "many.jsonl", "out.jsonl"]


def test_a_file_that_is_being_written_is_refused_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.jsonl"
    with RunLock(tmp_path / "out.jsonl.lock"):
        assert run_cli(["grade", str(rows(tmp_path / "a.jsonl", 1)), "--out", str(out)]) == 2
    assert "in use" in capsys.readouterr().err
    assert not out.exists()


def test_the_graded_file_is_never_the_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = rows(tmp_path / "a.jsonl", 1)
    before = path.read_bytes()
    assert run_cli(["grade", str(path), "--out", str(tmp_path / "." / "a.jsonl")]) == 2
    assert "it is the file to be graded" in capsys.readouterr().err
    assert run_cli(["grade", str(path), "--out", "/dev/null"]) == 2
    assert "not a regular file" in capsys.readouterr().err
    assert path.read_bytes() == before


@pytest.mark.long
def test_reports_of_one_run_at_once(tmp_path: Path) -> None:
    run = make_run(tmp_path / "demo", arms=("grpo",), num_points=2, num_problems=20)
    ended = at_once(*[["report", str(run)]] * 2)
    assert [code for code, _ in ended] == [0, 0], ended
    assert any("waiting" in said for _, said in ended)
    assert (run / "report.html").read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert {path.suffix for path in (run / "figures").iterdir()} == {".png", ".svg"}
    assert not [path for path in run.iterdir() if path.suffix in (".tmp", ".lock")]


WRITER = """
import sys
from pathlib import Path
from echochamber.base import write_file
for number in range(60):
    write_file(Path(sys.argv[1]), sys.argv[2] * 100_000)
"""


def test_writers_of_one_file_at_once_never_mix(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), mark]) for mark in "abc"]
    while any(writer.poll() is None for writer in writers):
        if path.exists():
            text = path.read_text()
            assert len(text) == 100_000 and len(set(text)) == 1
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert [found.name for found in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_that_is_being_written_is_refused(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom echochamber.base import atomic_folder\n"
        f"with atomic_folder(Path({str(tmp_path / 'out')!r})) as folder:\n"
        "    (folder / 'x').write_text('theirs')\n    print('ready', flush=True)\n    sys.stdin.read()\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", script], text=True, **pipes) as other:  # type: ignore[call-overload]
        assert other.stdout.readline() == "ready\n"
        with (
            pytest.raises(InputError, match="is being written by another process"),
            atomic_folder(tmp_path / "out"),
        ):
            pass
        other.stdin.close()
        assert other.wait() == 0
    assert (tmp_path / "out" / "x").read_text() == "theirs"
    assert [found.name for found in tmp_path.iterdir()] == ["out"]


def test_what_a_kill_left_of_a_folder_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "out.tmp").mkdir()
    (tmp_path / "out.tmp" / "half").write_text("x")
    with atomic_folder(tmp_path / "out") as folder:
        (folder / "whole").write_text("x")
    assert [found.name for found in (tmp_path / "out").iterdir()] == ["whole"]
