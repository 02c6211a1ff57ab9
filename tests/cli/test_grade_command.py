"""What `grade` says beside its tables."""

import json
from pathlib import Path

import pytest

from echochamber.cli.main import run_cli
from echochamber.verify.sandboxed import confinement

SYMPY = "<llm-code>\nimport sympy\nsympy.Integer(7)\n</llm-code>"


def file_of(folder: Path, *completions: str) -> str:
    path = folder / "completions.jsonl"
    path.write_text("".join(json.dumps({"completion": text, "gold": "7"}) + "\n" for text in completions))
    return str(path)


def test_programs_that_need_tier_2_are_counted_and_the_way_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file_of(tmp_path, SYMPY, "\\boxed{7}", "def f():\n    return open('x')")
    monkeypatch.setattr(confinement, "refusal", lambda: "")
    assert run_cli(["grade", path]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "2 of 3 completions hold a program that tier 1 cannot run and earn 0. Add --tier 1 --tier 2" in said
    )
    monkeypatch.setattr(confinement, "refusal", lambda: "this is darwin, and confinement needs Linux")
    assert run_cli(["grade", path]) == 0
    assert "On this machine tier 2 cannot be confined here: this is darwin" in capsys.readouterr().out


@pytest.mark.skipif(bool(confinement.refusal()), reason="programs cannot be confined here")
def test_nothing_is_suggested_where_nothing_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(["grade", file_of(tmp_path, "\\boxed{7}")]) == 0
    assert "tier 2" not in capsys.readouterr().out
    assert run_cli(["grade", file_of(tmp_path, SYMPY), "--tier", "1", "--tier", "2"]) == 0
    said = capsys.readouterr().out
    assert "1.0000" in said and "--tier" not in said


def test_a_lone_surrogate_in_a_completion_is_graded(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        b'{"completion":"\\\\boxed{7\\ud83d}","gold":"7"}\n{"completion":"\\\\boxed{7}","gold":"7"}\n'
    )
    assert run_cli(["grade", str(path), "--out", str(tmp_path / "out.jsonl")]) == 0
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(row["answer"], row["reward"]) for row in rows] == [("7\ufffd", 0.0), ("7", 1.0)]
