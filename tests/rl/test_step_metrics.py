"""The row of metrics of a step, worked by hand."""

import torch

from echochamber.rl.step_metrics import no_signal


def test_no_signal() -> None:
    assert no_signal(torch.tensor([[1.0, 1.0], [0.0, 0.0], [0.0, 1.0]])).tolist() == [True, True, False]
