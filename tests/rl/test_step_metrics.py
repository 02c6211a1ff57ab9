"""The row of metrics of a step, worked by hand."""

import pytest
import torch
from rl_toy import toy_completion

from echochamber.rl.step_metrics import completion_row, no_signal
from echochamber.rollout import Completion
from echochamber.verify import Outcome, Verdict


def _completions(*items: tuple[str, float, int], draw: float = 0.3) -> list[Completion]:
    return [
        toy_completion(
            Verdict(name, Outcome.correct if paid else Outcome.wrong, None, paid),
            num_tokens=n,
            truncated=n >= 10,
            draw=draw,
        )
        for name, paid, n in items
    ]


def test_no_signal() -> None:
    assert no_signal(torch.tensor([[1.0, 1.0], [0.0, 0.0], [0.0, 1.0]])).tolist() == [True, True, False]


def test_completion_row_by_hand() -> None:
    row = completion_row(
        _completions(("tinygsm", 1.0, 5), ("tinygsm", 0.0, 10), ("boxed", 0.0, 3), ("none", 0.0, 2))
    )
    assert row["share"] == {"boxed": 0.25, "none": 0.25, "tinygsm": 0.5}
    assert row["accuracy"] == {"boxed": 0.0, "none": 0.0, "tinygsm": 0.5}
    assert row["correct"] == 0.25 and row["mean_tokens"] == 5.0 and row["max_tokens"] == 10
    assert row["truncated_fraction"] == 0.25
    assert row["format_entropy"] == pytest.approx(1.0397207708)
