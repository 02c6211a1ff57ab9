import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from echochamber.evaluation import EvaluationConfig, evaluation_steps


def test_steps_of_the_paper() -> None:
    expected = {int(x * 1000) for x in np.logspace(-2.1, 0, 15)} | {0, 1000}
    assert evaluation_steps(1000, 15) == tuple(sorted(expected))


@given(st.integers(0, 5000), st.integers(1, 40))
def test_first_and_last_are_included_once(total: int, num_points: int) -> None:
    steps = evaluation_steps(total, num_points)
    assert steps[0] == 0
    assert steps[-1] == total
    assert list(steps) == sorted(set(steps))
    assert len(steps) <= num_points + 2


def test_defaults_report_one_sample_and_all_of_them() -> None:
    assert EvaluationConfig(benchmarks=("test",), num_samples=16).ks == (1, 16)
    assert EvaluationConfig(benchmarks=("test",), num_samples=0).ks == (1,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pass_at": (1, 16), "num_samples": 8}, "pass_at 16 needs at least as many samples"),
        ({"pass_at": (0,)}, "each at least 1"),
        ({"num_samples": 0, "greedy": False}, "evaluates nothing"),
        ({"benchmarks": ("test", "test")}, "named twice"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        EvaluationConfig.model_validate({"benchmarks": ("test",), **changes})
