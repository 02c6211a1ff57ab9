"""What training recorded at each of its steps."""

import pytest

from echochamber.analysis import (
    Run,
    learning_curves,
    rl_curves,
    training_shares,
)


def test_curves(run: Run) -> None:
    sources = set(learning_curves(run)["source"].to_pylist())
    assert sources == {"train", "tinygsm", "llm_code", "boxed", "arithmetic"}
    assert {"reward", "kl", "entropy", "no_signal_fraction"} <= set(rl_curves(run)["metric"].to_pylist())
    by_step: dict[tuple[str, int], float] = {}
    for row in training_shares(run).to_pylist():
        by_step[row["arm"], row["step"]] = by_step.get((row["arm"], row["step"]), 0.0) + row["share"]
    assert all(total == pytest.approx(1.0) for total in by_step.values())
