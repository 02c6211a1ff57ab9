"""Opening a run folder and querying it."""

import json
import shutil
from pathlib import Path

import pytest

from echochamber.analysis import (
    Run,
    learning_curves,
)
from echochamber.base import EchoError, InputError
from synthetic import make_run


def test_sql_over_completions(run: Run) -> None:
    table = run.query(
        "SELECT count(*) AS n FROM completions WHERE arm = $arm AND NOT greedy", {"arm": "base"}
    )
    assert table["n"].to_pylist() == [60 * 8]


def test_records_of_an_older_schema_are_refused_in_one_sentence(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "old", arms=(), num_points=2, num_problems=3)
    summary = json.loads((folder / "summary.json").read_text())
    del summary["schema"]
    (folder / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(InputError, match="records of schema 1.* reads schema 2: run the study again"):
        Run(folder)


def test_a_damaged_line_is_named(run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.folder, tmp_path / "broken")
    (tmp_path / "broken" / "metrics.jsonl").write_text('{"stage": "rl"}\n{"stage":')
    with pytest.raises(EchoError, match=r"metrics\.jsonl:2 is damaged"):
        learning_curves(Run(tmp_path / "broken"))
