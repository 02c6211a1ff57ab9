"""Random numbers and truncation, by hand."""

import numpy as np
import pytest
import torch

from echochamber.rollout import Sampling
from echochamber.rollout.sampling import draw, stream_keys, truncate, uniforms


def test_splitmix_reference_values() -> None:
    """The first outputs of the published generator from state 1234567."""
    keys = np.array([1234567], dtype=np.uint64)
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    expected_uniform = [(e >> 41) * 2.0**-23 for e in expected]
    assert uniforms(keys, 0, 3)[:, 0].tolist() == expected_uniform


def test_uniforms_do_not_depend_on_the_block_asked_for() -> None:
    keys = stream_keys(1, 2, np.arange(5), np.arange(5))
    whole = uniforms(keys, 0, 50)
    assert np.array_equal(whole[20:30], uniforms(keys, 20, 30))
    assert np.array_equal(whole[:, 3], uniforms(keys[3:4], 0, 50)[:, 0])


def test_streams_are_distinct_and_uniform() -> None:
    prompt, sample = np.divmod(np.arange(10_000), 100)
    keys = np.concatenate([stream_keys(s, t, prompt, sample) for s in (0, 1, -1) for t in (0, 1)])
    assert len(np.unique(keys)) == len(keys)
    u = uniforms(keys, 0, 10).astype(np.float64)
    assert u.min() >= 0
    assert u.max() < 1
    histogram = np.histogram(u, bins=64, range=(0, 1))[0]
    chi2 = ((histogram - u.size / 64) ** 2 / (u.size / 64)).sum()
    assert 25 < chi2 < 120
    assert abs(np.corrcoef(u[0], u[1])[0, 1]) < 0.02
    assert abs(np.corrcoef(u[0, :-1], u[0, 1:])[0, 1]) < 0.02


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
