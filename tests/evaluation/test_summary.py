import pytest
from completion_rows import ROWS, table

from echochamber.base import EchoError
from echochamber.evaluation import (
    SUMMARY_COLUMNS,
    EvaluationConfig,
    summarize,
)
from echochamber.formats import ALL_LABELS

KEYS = {
    "arm", "algorithm", "size", "mixture", "seed", "sweep", "benchmark", "step", "num_problems",
    "num_samples", "temperature", "greedy", "pass_at", "maj_at", "share", "accuracy", "mean_tokens",
}  # fmt: skip


def test_row_by_hand() -> None:
    (found,) = summarize(table(ROWS), EvaluationConfig(benchmarks=("test",), num_samples=2, pass_at=(1, 2)))
    assert set(found) == KEYS
    assert found["num_problems"] == 2
    assert found["num_samples"] == 2
    assert found["pass_at"] == {"1": 0.25, "2": 0.5}
    # Problem a: "5" and "6" tie, "5" sorts first and wins. Problem b: only "4" votes.
    assert found["maj_at"] == pytest.approx({"1": 0.25, "2": 0.5})
    assert set(found["share"]) >= set(ALL_LABELS())
    assert sum(found["share"].values()) == 1.0
    assert found["share"]["boxed"] == 0.5
    assert found["accuracy"]["boxed"] == 0.5
    assert found["accuracy"]["tinygsm"] == 0.0
    assert found["accuracy"]["ambiguous"] is None
    assert found["mean_tokens"] == 10.5


def test_order_of_rows_and_other_columns_do_not_matter() -> None:
    first = summarize(table(ROWS))
    assert summarize(table(ROWS[::-1]).select(list(SUMMARY_COLUMNS))) == first


def test_lost_rows_are_noticed() -> None:
    with pytest.raises(EchoError, match="rows were lost or written twice"):
        summarize(table(ROWS[:3]))
