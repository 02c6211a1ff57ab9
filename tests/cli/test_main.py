"""The command line as a user meets it: exit codes, sentences, no tracebacks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from echochamber.cli.main import run_cli
from echochamber.cli.study_commands import last_rows


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--version"], 0, "0.1.0"),
        (["--help"], 0, "Describe a study in one YAML file"),
        ([], 0, "Describe a study in one YAML file"),
        (["data"], 0, "stand-in"),
        (["config"], 0, "schema"),
        (["rum"], 2, "Did you mean 'run'"),
        (["run"], 2, "Missing argument"),
        (["run", "nowhere.yaml"], 2, "cannot read nowhere.yaml"),
        (["report", "nowhere"], 2, "no finished run found at nowhere"),
        (["grade", "nowhere.jsonl"], 2, "nowhere.jsonl"),
        (["bench", "rolout"], 2, "Did you mean 'rollout'"),
        (["bench", "verify", "--device", "abacus"], 2, "device 'abacus' cannot be used here"),
    ],
)
def test_answers(arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(arguments) == code
    captured = capsys.readouterr()
    assert said in captured.out + captured.err
    assert "Traceback" not in captured.err


def test_grade_writes_a_line_for_each_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"text": "def simple_math_problem():\n    return 6 * 7", "truth": "42"},
        {"text": r"6 times 7 is \boxed{41}.", "truth": "42"},
        {"text": "no idea", "truth": "42"},
    ]
    path, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run_cli(["grade", str(path), "--completion", "text", "--gold", "truth", "--out", str(out)]) == 0
    graded = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["format"] for row in graded] == ["tinygsm", "boxed", "none"]
    assert [row["outcome"] for row in graded] == ["correct", "wrong", "no_answer"]
    assert [row["reward"] for row in graded] == [1.0, 0.0, 0.0]
    assert "0.3333" in capsys.readouterr().out


USELESS = {
    "empty.yaml": b"",
    "binary.yaml": b"\x00\xff\xfe",
    "list.yaml": b"- a\n",
    "text.yaml": b"words",
    "broken.yaml": b"study: [1\n",
    "itself.yaml": b"a: &a [*a]\n",
    "odd.yaml": b"study: null\ntasks: null\nsweep: 3\nmodules: 5\n",
}
OF_A_STUDY = [
    ["run"], ["run", "--dry-run"], ["status"], ["evaluate"], ["sample", "why?"], ["export", "--to", "x"],
    ["data", "show"], ["data", "prepare"], ["data", "formats"], ["config", "show"], ["report"], ["forecast"],
]  # fmt: skip


@pytest.mark.parametrize("command", OF_A_STUDY, ids=" ".join)
def test_every_command_refuses_what_is_no_study(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in USELESS.items():
        Path(name).write_bytes(content)
    Path("folder.yaml").mkdir()
    Path("loop.yaml").symlink_to("loop.yaml")
    number = 2 if command[0] in ("data", "config") else 1
    for name in (*USELESS, "folder.yaml", "loop.yaml", "nowhere.yaml"):
        assert run_cli([*command[:number], name, *command[number:]]) == 2, name
        captured = capsys.readouterr()
        assert captured.err.startswith("error: ") and name in captured.err, name
        assert "Traceback" not in captured.err
    assert not (tmp_path / "runs").exists()


def test_a_place_that_may_not_be_used_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "/secret/runs")

    monkeypatch.setattr("echochamber.study.open_study", refuse)
    assert run_cli(["status", "any.yaml"]) == 2
    assert capsys.readouterr().err.startswith("error: cannot use /secret/runs: Permission denied. Check")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"text": "a", "gold": "1"}\n', "in.jsonl:1"),
        ('{"completion": "a", "gold": "1"}\n{broken\n', "in.jsonl:2"),
    ],
)
def test_grade_names_file_and_line(
    tmp_path: Path, content: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    path.write_text(content)
    assert run_cli(["grade", str(path), "--out", str(out)]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


def test_schema_of_study_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["config", "schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert {"tasks", "sources", "mixtures", "arms"} <= set(schema["properties"])


def test_the_table_at_the_end_has_each_arms_last_sampled_step() -> None:
    def row(arm: str, step: int, greedy: bool, right: float) -> dict[str, object]:
        return {
            "arm": arm, "size": "pico", "mixture": "even", "seed": 0, "benchmark": "test", "step": step,
            "greedy": greedy, "pass_at": {"1": right}, "maj_at": {"1": right},
            "share": {"boxed": 1.0, "none": 0.0},
        }  # fmt: skip

    rows = [
        row("base", 0, True, 0.9),
        row("base", 0, False, 0.3),
        row("grpo", 0, False, 0.3),
        row("grpo", 9, False, 0.8),
        row("grpo", 9, True, 1.0),
    ]
    assert last_rows(rows) == [
        {"arm": "base", "step": 0, "pass@1": "30.0%", "greedy": "90.0%", "share of boxed": "100.0%"},
        {"arm": "grpo", "step": 9, "pass@1": "80.0%", "greedy": "100.0%", "share of boxed": "100.0%"},
    ]
    assert last_rows([row("base", 0, True, 0.9)]) == [
        {"arm": "base", "step": 0, "greedy": "90.0%", "share of boxed": "100.0%"}
    ]


def test_an_error_that_quotes_a_users_text_is_shown_harmlessly(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["grade", "\x1b[2Jmissing\u202e.jsonl"]) == 2
    said = capsys.readouterr().err
    assert "\\x1b[2Jmissing\\u202e.jsonl" in said
    assert "\x1b" not in said


def test_a_terminal_without_the_character_shows_its_number(tmp_path: Path) -> None:
    path = tmp_path / "Zoë.jsonl"
    path.write_text('{"completion": "7", "gold": "7"}\n')
    command = [sys.executable, "-m", "echochamber", "grade", str(path)]
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, env=ascii_only, capture_output=True, text=True, timeout=60, check=True)
    assert "Zo\\xeb.jsonl" in done.stdout
