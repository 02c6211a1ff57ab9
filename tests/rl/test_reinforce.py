"""Leave-one-out baselines and returns, worked by hand."""

import pytest
import torch

from echochamber.rl.reinforce import leave_one_out_advantages, returns_to_go


def test_leave_one_out_by_hand() -> None:
    reward = torch.tensor([[3.0, 0.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(
        leave_one_out_advantages(reward), torch.tensor([[3.0, -1.5, -1.5]], dtype=torch.float64)
    )


def test_equal_rewards_of_a_group_give_exactly_zero() -> None:
    for value in (0.1, 1 / 3, 0.7, 1e9 + 0.1):
        for dtype in (torch.float32, torch.float64):
            assert (leave_one_out_advantages(torch.full((1, 7), value, dtype=dtype)) == 0).all()


def test_a_group_of_one_has_no_others() -> None:
    with pytest.raises(ValueError, match="at least 2 samples"):
        leave_one_out_advantages(torch.ones(3, 1))


def test_returns_to_go_by_hand() -> None:
    reward = torch.tensor([[1.0, 2.0, 4.0], [1.0, 2.0, float("nan")]])
    mask = torch.tensor([[True, True, True], [True, True, False]])
    torch.testing.assert_close(returns_to_go(reward, mask), torch.tensor([[7.0, 6.0, 4.0], [3.0, 2.0, 0.0]]))
