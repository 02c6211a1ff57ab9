"""The summary holds the outcomes of endpoints and claims, and the command prints them."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from echochamber.base import InputError, read_json
from echochamber.cli.main import run_cli
from echochamber.evaluation import SCHEMA
from echochamber.study import Study, load, run_study


def test_the_summary_holds_what_the_command_prints(
    finished: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = read_json(finished.folder / "summary.json")
    assert summary["questions"] == {"test": 12, "train": 16}
    assert run_cli(["findings", str(finished.folder), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == {key: summary[key] for key in ("endpoints", "findings")}
    assert {f["ruling"] for f in printed["findings"]} == {"not testable"}  # one seed
    assert run_cli(["findings", str(finished.folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("not testable: ") for line in lines) == len(printed["findings"])
    assert any("statement of Zhao et al." in line for line in lines)


def _as_schema_1(folder: Path) -> None:
    """Give a run folder the records that it had before they carried a schema and whole cells."""
    summary = read_json(folder / "summary.json")
    rows = [{k: v for k, v in row.items() if k not in ("algorithm", "sweep")} for row in summary["rows"]]
    kept = {key: value for key, value in summary.items() if key != "schema"}
    (folder / "summary.json").write_text(json.dumps({**kept, "rows": rows}))
    for path in (folder / "completions").glob("*.parquet"):
        pq.write_table(pq.read_table(path).drop_columns(["algorithm", "sweep"]), path)
    for name in ("metrics.jsonl", "timing.jsonl"):
        lines = [json.loads(line) for line in (folder / name).read_text().splitlines()]
        old = [{k: v for k, v in line.items() if k not in ("algorithm", "sweep")} for line in lines]
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in old))


def test_records_of_an_older_schema_are_refused_in_a_sentence_and_the_next_run_writes_them_again(
    copy: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    right = read_json(copy.folder / "summary.json")
    _as_schema_1(copy.folder)
    said = f"{copy.folder} holds records of schema 1, and this version of echochamber reads schema {SCHEMA}"
    assert run_cli(["findings", str(copy.folder)]) == 2
    assert said in capsys.readouterr().err
    with pytest.raises(InputError, match="run the study again"):
        load(copy.folder)
    run_study(copy)
    assert read_json(copy.folder / "summary.json")["rows"] == right["rows"]
    assert load(copy.folder).rows == right["rows"]


def test_no_run_is_the_users_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["findings", "no-such-run"]) == 2
    assert "no-such-run" in capsys.readouterr().err
