"""Runs in Python: `echochamber.run` and `echochamber.load`, and the tables they give."""

from __future__ import annotations

from pathlib import Path

import pytest

import echochamber
from echochamber.base import EchoError, InputError, listening, read_json
from echochamber.study import Result, Study


def test_results_as_data_frames(finished: Study) -> None:
    result = Result(finished.folder)
    assert len(result.summary()) == 6
    assert {"share.boxed", "pass_at.1"} <= set(result.summary().columns)
    assert len(result.completions()) == 3 * 12 * 3
    assert {"pretrain", "rl"} == set(result.metrics()["stage"])


def test_a_study_runs_from_python_and_its_messages_are_received(copy: Study, tiny_file: Path) -> None:
    said: list[str] = []
    with listening(said.append):
        result = echochamber.run(tiny_file, runs=copy.folder.parent)
    assert result.rows == read_json(copy.folder / "summary.json")["rows"]
    assert said[0] == f"[1/{len(copy.plan.stages)}] draw the questions: in the store"
    assert said[-1] == f"report: {result.report} (nothing has changed)"


def test_one_run_or_several_as_tables(copy: Study) -> None:
    one = echochamber.load(str(copy.folder))
    assert isinstance(one, echochamber.Result)
    assert repr(one) == f"<Result of {copy.folder}: arms base, grpo; seeds 3>"
    assert "run" not in one.summary().columns
    same = echochamber.Result(str(copy.folder))
    assert len(same.metrics()) == len(one.metrics())
    for several in (echochamber.load([copy.folder, copy.folder]), echochamber.load(copy.folder, copy.folder)):
        assert isinstance(several, echochamber.Results)
    pair = echochamber.load([copy.folder])
    assert list(pair.runs) == ["tiny"]
    assert set(pair.completions()["run"]) == set(pair.metrics()["run"]) == {"tiny"}


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: (f / "summary.json").unlink(), "no finished run found at"),
        (lambda f: (f / "summary.json").write_text("{"), "summary.json is missing or damaged; run the study"),
        (
            lambda f: (f / "summary.json").write_text("[]"),
            "summary.json is missing or damaged; run the study",
        ),
        (lambda f: (f / "metrics.jsonl").write_text("{\n"), "metrics.jsonl is missing or damaged"),
        (
            lambda f: (f / "completions" / "part-00000.parquet").write_text(""),
            "completions is missing or dam",
        ),
    ],
)
def test_a_run_that_cannot_be_opened_is_a_sentence(copy: Study, spoil: object, said: str) -> None:
    assert callable(spoil)
    spoil(copy.folder)
    with pytest.raises(EchoError, match=said):
        result = echochamber.load(copy.folder)
        result.metrics()
        result.completions()


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a finished run: it has no summary.json; make one with"):
        echochamber.Result(tmp_path)
    with pytest.raises(InputError, match="there is no such folder"):
        echochamber.Result(str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="at least one run"):
        echochamber.load([])
