import numpy as np
import pytest

from echochamber.analysis import (
    Run,
    accuracy_by_format,
    base_and_final,
    format_shares,
    select,
    trajectories,
)


def sampled_rows(run: Run) -> list[dict[str, object]]:
    return [row for row in run.rows if not row["greedy"]]


def test_shares_are_those_of_the_summary(run: Run) -> None:
    table = format_shares(run).to_pylist()
    for row in sampled_rows(run):
        own = [r for r in table if (r["arm"], r["step"]) == (row["arm"], row["step"])]
        assert sum(r["estimate"] for r in own) == pytest.approx(1.0)
        for r in own:
            assert r["estimate"] == pytest.approx(row["share"][r["format"]])
            assert r["low"] <= r["estimate"] <= r["high"]


def test_accuracies_are_those_of_the_summary(run: Run) -> None:
    table = accuracy_by_format(run).to_pylist()
    for row in sampled_rows(run):
        own = {r["format"]: r for r in table if (r["arm"], r["step"]) == (row["arm"], row["step"])}
        assert own["all"]["estimate"] == pytest.approx(row["pass_at"]["1"])
        for name, r in own.items():
            if name != "all":
                assert r["estimate"] == pytest.approx(row["accuracy"][name])


def test_seeds_are_pooled_and_counted(seeds_run: Run) -> None:
    rows = [r for r in sampled_rows(seeds_run) if (r["arm"], r["step"]) == ("grpo", 40)]
    table = [r for r in format_shares(seeds_run).to_pylist() if (r["arm"], r["step"]) == ("grpo", 40)]
    for r in table:
        assert r["num_seeds"] == 3
        assert r["estimate"] == pytest.approx(np.mean([row["share"][r["format"]] for row in rows]))
    assert select(trajectories(seeds_run))[0].crossed


def test_base_and_final(run: Run) -> None:
    rows = {row["arm"]: row for row in base_and_final(run).to_pylist()}
    assert set(rows) == {"grpo", "ei", "random"}
    assert rows["grpo"]["difference_low"] > 0.2
    assert rows["grpo"]["p_value"] < 0.001
    assert rows["grpo"]["about"] == "runs"
    assert rows["random"]["difference_low"] < 0 < rows["random"]["difference_high"]
    assert rows["grpo"]["share_after_boxed"] < 0.05 < rows["grpo"]["share_before_boxed"]
