"""Steps of fixed shapes, which a GPU replays as graphs: the contract, and the memory they take."""

import contract
import numpy as np
import pytest
from contract import CONFIG, EOS, PAD, PROMPTS, SETTINGS, same, sharp_model

from echochamber.model import Transformer
from echochamber.rollout import NativeEngine, Sampling, static


def eager(model: Transformer) -> NativeEngine:
    return NativeEngine(model, eos_id=EOS, pad_id=PAD)


def fixed(model: Transformer) -> NativeEngine:
    """The steps that a GPU replays as graphs, here one kernel after another."""
    return NativeEngine(model, eos_id=EOS, pad_id=PAD, static=True)


@pytest.mark.parametrize("sampling", [SETTINGS[0], SETTINGS[4]], ids=str)
def test_steps_of_fixed_shapes_keep_the_contract(sampling: Sampling) -> None:
    contract.check_logprobs(fixed, sampling)


def test_steps_of_fixed_shapes_end_and_load_weights_as_the_others() -> None:
    contract.check_greedy(fixed)
    contract.check_ends(fixed)
    contract.check_versions(fixed)
    contract.check_streams(fixed)


@pytest.mark.parametrize("fraction", [0.0, 0.3, 2.0])
def test_steps_of_fixed_shapes_draw_the_same_samples(fraction: float) -> None:
    """Double precision; rows leave the batch at different times, and one engine serves several batches."""
    model, sampling = sharp_model().double(), Sampling(max_new_tokens=40)
    growing = eager(model)
    steps = NativeEngine(model, eos_id=EOS, pad_id=PAD, static=True, compact_fraction=fraction, max_rows=11)
    for seed, prompts in ((5, PROMPTS), (6, PROMPTS[1:2]), (7, [*PROMPTS, [7] * 30])):
        expected = growing.generate(prompts, sampling, num_samples=7, seed=seed, step=6)
        found = steps.generate(prompts, sampling, num_samples=7, seed=seed, step=6)
        assert same(expected, found)
        for group, other in zip(expected, found, strict=True):
            for a, b in zip(group, other, strict=True):
                assert np.abs(a.logprobs - b.logprobs).max() < 1e-6


def test_fixed_shapes_stay_within_the_memory_given() -> None:
    """Rounding rows and columns up must not round the cache up too."""
    assert [static.rows_within(n) for n in (0, 1, 7, 8, 15, 16, 100)] == [1, 1, 7, 8, 8, 16, 64]
    column_bytes = 2 * CONFIG.num_layers * CONFIG.d_model * 8
    cache_bytes = 20 * 128 * column_bytes
    model, sampling = sharp_model().double(), Sampling(max_new_tokens=30)
    engine = NativeEngine(model, eos_id=EOS, pad_id=PAD, static=True, cache_bytes=cache_bytes)
    found = engine.generate([*PROMPTS, [7] * 40], sampling, num_samples=9, seed=1, step=2)
    assert engine._steps is not None
    assert engine._steps._cache.shape[2:5:2] == (16, 128)
    assert same(found, eager(model).generate([*PROMPTS, [7] * 40], sampling, num_samples=9, seed=1, step=2))
