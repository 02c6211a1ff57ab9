"""The outcomes of endpoints and claims stand in the summary, and the command prints them."""

from __future__ import annotations

import json

import pytest

from echochamber.base import read_json
from echochamber.cli.main import run_cli
from echochamber.study import Study


def test_the_summary_holds_what_the_command_prints(
    finished: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = read_json(finished.folder / "summary.json")
    assert summary["questions"] == {"test": 12, "train": 16}
    assert run_cli(["findings", str(finished.folder), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == {key: summary[key] for key in ("endpoints", "findings")}
    assert {f["verdict"] for f in printed["findings"]} == {"not testable"}  # one seed
    assert run_cli(["findings", str(finished.folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("not testable: ") for line in lines) == len(printed["findings"])
    assert any("statement of Zhao et al." in line for line in lines)


def test_a_run_of_an_older_schema_is_refused_with_what_to_do(
    copy: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copy.folder / "summary.json"
    old = {key: value for key, value in read_json(path).items() if key in ("study", "rows", "seconds")}
    path.write_text(json.dumps(old))
    assert run_cli(["findings", str(copy.folder)]) == 2
    assert "reads schema 2: run the study again" in capsys.readouterr().err


def test_no_run_is_the_users_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["findings", "no-such-run"]) == 2
    assert "no-such-run" in capsys.readouterr().err
