"""Random numbers: the published generator, distinct streams, any block of positions."""

import numpy as np

from echochamber.rollout.streams import stream_keys, uniforms


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
