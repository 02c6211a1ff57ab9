"""The engine on top of transformers keeps the same contract."""

import contract
import numpy as np
import pytest
from contract import EOS, PAD, PROMPTS, SETTINGS, same, sharp_model

from echochamber.model import Transformer
from echochamber.rollout import Engine, HFEngine, NativeEngine, Sampling

pytest.importorskip("transformers")


def make(model: Transformer) -> Engine:
    return HFEngine(model, eos_id=EOS, pad_id=PAD)


def test_greedy() -> None:
    contract.check_greedy(make)


@pytest.mark.parametrize("sampling", [SETTINGS[1], SETTINGS[4]], ids=str)
def test_logprobs(sampling: Sampling) -> None:
    contract.check_logprobs(make, sampling)


def test_ends() -> None:
    contract.check_ends(make)


def test_versions() -> None:
    contract.check_versions(make)


def test_streams() -> None:
    contract.check_streams(make)


def test_both_engines_draw_the_same_samples() -> None:
    """Double precision, so that rounding moves no token across a boundary."""
    model = sharp_model().double()
    sampling = Sampling(temperature=0.9, top_p=0.95, max_new_tokens=15)
    ours = NativeEngine(model, eos_id=EOS, pad_id=PAD).generate(
        PROMPTS, sampling, num_samples=3, seed=1, step=2
    )
    theirs = make(model).generate(PROMPTS, sampling, num_samples=3, seed=1, step=2)
    assert same(ours, theirs)
    for group, other in zip(ours, theirs, strict=True):
        for a, b in zip(group, other, strict=True):
            assert np.abs(a.logprobs - b.logprobs).max() < 1e-4
            assert a.finish_reason == b.finish_reason
