"""The vLLM adapter keeps the engines' contract over a stand-in for the API it uses; it needs a GPU itself."""

import sys

import contract
import numpy as np
import pytest
from contract import EOS, PAD, PROMPTS, SETTINGS, TOKENIZER, sharp_model

from echochamber.base import InputError
from echochamber.model import Transformer
from echochamber.rollout import Engine, Sampling, VLLMEngine, make_engine

pytest.importorskip("transformers")
import fake_vllm


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", fake_vllm)


def make(model: Transformer) -> Engine:
    return VLLMEngine(model, eos_id=EOS, pad_id=PAD)


def test_greedy() -> None:
    contract.check_greedy(make)


@pytest.mark.parametrize("sampling", SETTINGS[:2], ids=str)
def test_logprobs(sampling: Sampling) -> None:
    contract.check_logprobs(make, sampling)


def test_truncated_sampling_has_logprobs_of_what_was_drawn_from() -> None:
    """With one token left its probability is 1."""
    (group,) = make(sharp_model()).generate(
        PROMPTS[:1], Sampling(top_k=1, max_new_tokens=8), num_samples=2, seed=0, step=0
    )
    assert all(np.all(item.logprobs == 0.0) and item.nucleus is None for item in group)


def test_ends() -> None:
    contract.check_ends(make)


def test_versions() -> None:
    contract.check_versions(make)


def test_new_weights_forget_cached_prefixes() -> None:
    engine = VLLMEngine(sharp_model(1), eos_id=EOS, pad_id=PAD)
    engine.load_weights(sharp_model(2), 1)
    assert engine._llm.resets == 1


def test_streams() -> None:
    contract.check_streams(make)


def test_without_the_extra_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(
        InputError, match=r"needs the package vllm, which is not installed.*echochamber\[vllm\]"
    ):
        make_engine("vllm", sharp_model(), TOKENIZER)
