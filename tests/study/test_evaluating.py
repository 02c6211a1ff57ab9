"""Measuring a trained model again."""

from __future__ import annotations

from pathlib import Path

import pytest

from echochamber.base import InputError, read_json
from echochamber.evaluation import read_completions
from echochamber.study import Study, evaluate_model


@pytest.mark.parametrize("arm", ["base", "grpo"])
def test_the_studys_own_settings_give_its_own_numbers(finished: Study, arm: str, tmp_path: Path) -> None:
    rows = evaluate_model(finished, arm=arm, settings={}, out=tmp_path / "again.parquet")
    told = [row for row in read_json(finished.folder / "summary.json")["rows"] if row["arm"] == arm]
    last = max(row["step"] for row in told)
    expected = {row["greedy"]: row for row in told if row["step"] == last}
    assert len(rows) == 2
    for row in rows:
        for name in ("pass_at", "maj_at", "share", "accuracy"):
            assert row[name] == expected[row["greedy"]][name]
    table = read_completions(tmp_path / "again.parquet")
    assert table.num_rows == 12 * (1 + 2)


def test_other_settings(finished: Study) -> None:
    settings = {"num_problems": 3, "num_samples": 4, "greedy": False, "pass_at": (1, 4), "temperature": 0.5}
    (row,) = evaluate_model(finished, arm="grpo", settings=settings)
    assert set(row["pass_at"]) == {"1", "4"} and row["temperature"] == 0.5


@pytest.mark.parametrize(
    ("arm", "settings", "message"),
    [
        ("grop", {}, "has no arm 'grop'"),
        ("grpo", {"benchmarks": ("tset",)}, "has no task 'tset'.*Did you mean 'test'"),
        ("grpo", {"num_samples": 2, "pass_at": (8,)}, "pass_at 8 needs at least as many samples"),
        ("grpo", {"temperature": -1.0}, "temperature: .*greater than or equal to 0"),
        ("grpo", {"max_new_tokens": 500}, "the context is 96; set max-new-tokens to at most"),
    ],
)
def test_what_cannot_be_measured(
    finished: Study, arm: str, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        evaluate_model(finished, arm=arm, settings=settings)
