import json
from pathlib import Path

import pytest

from echochamber.analysis import Run, write_second_opinion
from echochamber.report import render
from synthetic import make_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make_run(
        tmp_path_factory.mktemp("runs") / "two", arms=("grpo",), num_points=2, num_problems=12, num_samples=4
    )
    write_second_opinion(run)
    return run


def test_both_scores_are_side_by_side(folder: Path) -> None:
    found = json.loads((folder / "second_opinion.json").read_text())
    assert [row["arm"] for row in found["rows"]] == ["base", "grpo"]
    summary = {(r["arm"], r["step"]): r for r in Run(folder).rows if not r["greedy"]}
    for row in found["rows"]:
        ours = summary[row["arm"], row["step"]]
        assert row["measured"]["pass_at_n"] == pytest.approx(ours["pass_at"]["4"])
        assert row["measured"]["majority"] == pytest.approx(ours["maj_at"]["4"])
        assert row["measured"]["reward"] == pytest.approx(ours["pass_at"]["1"])
        assert sum(row["measured"]["share"].values()) == pytest.approx(1.0)
        assert sum(row["published"]["share"].values()) <= 1.0 + 1e-9
        # The stand-in programs add correctly whatever the invented verdict was, so the scores differ.
        assert 0.0 <= row["published"]["reward"] <= 1.0
    assert set(found["hack_floor"]["measured"].values()) == {0.0}


def test_the_report_shows_them(folder: Path) -> None:
    text = render(folder, images=False).read_text(encoding="utf-8")
    assert "As published, as measured" in text
    assert "Reward of responses that answer nothing" in text
