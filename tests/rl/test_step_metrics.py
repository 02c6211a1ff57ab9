"""The row of metrics of a step, worked by hand."""

import pytest
import torch
from rl_toy import toy_completions

from echochamber.rl.step_metrics import completion_row, no_signal


def test_no_signal() -> None:
    assert no_signal(torch.tensor([[1.0, 1.0], [0.0, 0.0], [0.0, 1.0]])).tolist() == [True, True, False]


def test_completion_row_by_hand() -> None:
    row = completion_row(
        toy_completions(("tinygsm", 1.0, 5), ("tinygsm", 0.0, 10), ("boxed", 0.0, 3), ("none", 0.0, 2))
    )
    assert row["share"] == {"boxed": 0.25, "none": 0.25, "tinygsm": 0.5}
    assert row["accuracy"] == {"boxed": 0.0, "none": 0.0, "tinygsm": 0.5}
    assert row["correct"] == 0.25 and row["mean_tokens"] == 5.0 and row["max_tokens"] == 10
    assert row["truncated_fraction"] == 0.25
    assert row["format_entropy"] == pytest.approx(1.0397207708)
