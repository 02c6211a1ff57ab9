"""Drawing and truncation, by hand."""

import numpy as np
import pytest
import torch

from echochamber.rollout import Sampling
from echochamber.rollout.sampling import draw, truncate


def test_draw_inverts_the_cumulative_distribution() -> None:
    logits = torch.tensor([0.5, 0.25, 0.125, 0.125]).log().repeat(5, 1)
    u = torch.tensor([0.0, 0.49999, 0.5, 0.76, 1 - 2**-23])
    drawn = draw(logits, u, Sampling())
    assert drawn.tokens_R.tolist() == [0, 0, 1, 2, 3]
    assert drawn.logp_R.exp().tolist() == pytest.approx([0.5, 0.5, 0.25, 0.125, 0.125])


def test_impossible_tokens_are_never_drawn() -> None:
    logits = torch.full((3, 4), -torch.inf)
    logits[:, 2] = 1.0
    drawn = draw(logits, torch.tensor([0.0, 0.5, 1 - 2**-23]), Sampling())
    assert drawn.tokens_R.tolist() == [2, 2, 2]


def test_temperature_sharpens() -> None:
    drawn = draw(torch.tensor([[0.0, 1.0]]), torch.tensor([0.9]), Sampling(temperature=0.5))
    assert drawn.logp_R.exp().item() == pytest.approx(np.exp(2) / (1 + np.exp(2)))


@pytest.mark.parametrize(
    ("top_k", "top_p", "expected"),
    [
        (0, 0.5, [1]),
        (0, 0.5001, [1, 3]),
        (0, 0.81, [1, 3, 0]),
        (3, 1.0, [1, 3, 0]),
        (2, 1.0, [1, 3]),
        # After top-k the shares are 5/8 and 3/8, so the first alone does not reach 0.7.
        (2, 0.7, [1, 3]),
        (2, 0.6, [1]),
        (0, 0.95, [1, 3, 0, 2]),
    ],
)
def test_truncation_by_hand(top_k: int, top_p: float, expected: list[int]) -> None:
    p = torch.tensor([[0.1, 0.5, 0.1, 0.3], [0.25, 0.25, 0.25, 0.25]])
    p_left, ids = truncate(p, top_k, top_p)
    assert ids[0][p_left[0] > 0].tolist() == expected


def test_equal_probabilities_are_ranked_by_id() -> None:
    p_left, ids = truncate(torch.full((1, 50), 0.02), 7, 1.0)
    assert ids[0][p_left[0] > 0].tolist() == list(range(7))
