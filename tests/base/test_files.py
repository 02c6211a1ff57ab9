"""Atomic writing: all of the new content or all of the old, errors as sentences."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from echochamber.base import EchoError, InputError, atomic_folder, read_json, write_file, write_json


def test_write_and_read_back(tmp_path: Path) -> None:
    write_json(tmp_path / "deep" / "a.json", {"b": 1, "a": [1.5, None]})
    assert read_json(tmp_path / "deep" / "a.json") == {"a": [1.5, None], "b": 1}
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["a.json"]


def test_damaged_and_missing_json(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(EchoError, match="damaged"):
        read_json(tmp_path / "x.json")
    with pytest.raises(EchoError, match="missing"):
        read_json(tmp_path / "y.json")


def test_a_path_under_a_file_is_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot write .*: a file is in the way"):
        write_file(tmp_path / "file" / "a.txt", "x")


def test_folder_appears_only_when_complete(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), atomic_folder(tmp_path / "out") as folder:
        (folder / "half").write_text("x")
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())
    with atomic_folder(tmp_path / "out") as folder:
        (folder / "whole").write_text("x")
    assert (tmp_path / "out" / "whole").read_text() == "x"
    with pytest.raises(InputError, match="exists already"), atomic_folder(tmp_path / "out"):
        pass


@pytest.mark.parametrize(
    ("point", "expected"),
    [("file.mid_write", "old"), ("file.before_rename", "old"), ("file.after_rename", "new")],
)
def test_killed_at_every_point_the_content_is_old_or_new(tmp_path: Path, point: str, expected: str) -> None:
    target = tmp_path / "a.json"
    target.write_text(json.dumps("old"))
    code = f"import pathlib, echochamber.base as b; b.write_file(pathlib.Path({str(target)!r}), '\"new\"')"
    result = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "ECHOCHAMBER_FAULT": f"{point}:1"}, check=False
    )
    assert result.returncode == -signal.SIGKILL
    assert read_json(target) == expected
