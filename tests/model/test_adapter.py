"""Models of transformers as policies: same numbers, same folders, and a sentence for what cannot be used."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from echochamber.base import InputError
from echochamber.model import HFPolicy, Transformer, ValueModel, load_policy, require_transformers
from echochamber.rollout import HFEngine, NativeEngine, Sampling, make_engine

transformers = pytest.importorskip("transformers")

SMALL: dict[str, Any] = {
    "vocab_size": 40, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 32,
    "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2,
}  # fmt: skip
CONFIGS = {
    "llama": lambda: transformers.LlamaConfig(**SMALL),
    "qwen2, tied": lambda: transformers.Qwen2Config(**SMALL, tie_word_embeddings=True),
    "gpt2": lambda: transformers.GPT2Config(
        vocab_size=40, n_embd=32, n_layer=2, n_head=4, n_positions=32, bos_token_id=0, eos_token_id=1
    ),
}


def peer(name: str) -> Any:
    torch.manual_seed(0)
    return transformers.AutoModelForCausalLM.from_config(CONFIGS[name]())


@pytest.mark.parametrize("name", CONFIGS)
def test_hidden_states_and_logits_are_the_models_own(name: str) -> None:
    policy = HFPolicy(peer(name))
    tokens = torch.randint(40, (2, 9), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(policy(tokens), policy.inner(input_ids=tokens).logits)
    assert policy.hidden(tokens).shape == (2, 9, 32)
    assert (policy.config.d_model, policy.config.context_length, policy.config.vocab_size) == (32, 32, 40)
    with pytest.raises(InputError, match="a sequence of 33 tokens: expected at most 32"):
        policy.hidden(torch.zeros(1, 33, dtype=torch.long))


@pytest.mark.parametrize("name", CONFIGS)
def test_folders_and_critics(name: str, tmp_path: Path) -> None:
    policy = HFPolicy(peer(name))
    policy.write(tmp_path / "a")
    again = load_policy(tmp_path / "a")
    assert isinstance(again, HFPolicy)
    again.write(tmp_path / "b")
    assert {p.name for p in (tmp_path / "a").iterdir()} == {p.name for p in (tmp_path / "b").iterdir()}
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    tokens = torch.arange(6).view(2, 3)
    critic = ValueModel(copy.deepcopy(policy), seed=0)
    assert torch.equal(critic(tokens), critic.head(policy.hidden(tokens)))
    names = [n for n, _ in critic.named_parameters()]
    assert not [n for n in names if "lm_head" in n]


def test_the_engine_samples_what_the_model_says() -> None:
    model = peer("llama")
    model.generation_config.repetition_penalty = 5.0  # of the folder, and not to be applied
    policy = HFPolicy(model)
    with torch.no_grad():
        policy.head_weight.mul_(20)
    engine = make_engine("auto", policy, SimpleNamespace(eos_id=1, pad_id=2))
    assert isinstance(engine, HFEngine)
    sampling = Sampling(temperature=1.0, max_new_tokens=12)
    prompts = [[5, 6, 7], [8]]
    for prompt, group in zip(
        prompts, engine.generate(prompts, sampling, num_samples=3, seed=0, step=0), strict=True
    ):
        for item in group:
            tokens = torch.tensor([[*prompt, *item.token_ids.tolist()]])
            with torch.no_grad():
                logp = policy(tokens)[0, len(prompt) - 1 : -1].log_softmax(-1)
            chosen = logp.gather(1, tokens[0, len(prompt) :, None])[:, 0]
            assert torch.allclose(chosen, torch.from_numpy(item.logprobs), atol=1e-4)
    before = engine.generate(prompts, Sampling(temperature=0), num_samples=1, seed=0, step=0)
    with torch.no_grad():
        policy.head_weight.mul_(-1)
    same = engine.generate(prompts, Sampling(temperature=0), num_samples=1, seed=0, step=0)
    assert before[0][0].token_ids.tolist() == same[0][0].token_ids.tolist()
    engine.load_weights(policy, 7)
    after = engine.generate(prompts, Sampling(temperature=0), num_samples=1, seed=0, step=0)
    assert before[0][0].token_ids.tolist() != after[0][0].token_ids.tolist()
    assert after[0][0].policy_version == 7


def test_the_native_engine_says_what_it_cannot_run() -> None:
    with pytest.raises(InputError, match="'native' runs models of the OLMo-1 architecture only; set engine"):
        NativeEngine(HFPolicy(peer("llama")), eos_id=1, pad_id=2)


def test_a_sliding_window_limits_the_context() -> None:
    torch.manual_seed(0)
    config = transformers.MistralConfig(**SMALL, sliding_window=16)
    policy = HFPolicy(transformers.AutoModelForCausalLM.from_config(config))
    assert policy.config.context_length == 16


def test_models_that_do_something_else_are_refused(tmp_path: Path) -> None:
    small = {**SMALL, "num_key_value_heads": 4}
    with pytest.raises(InputError, match="PhiForCausalLM: expected .* no bias"):
        HFPolicy(transformers.AutoModelForCausalLM.from_config(transformers.PhiConfig(**small)))
    cohere = transformers.CohereConfig(**small, logit_scale=0.5)
    with pytest.raises(InputError, match="a bias, scale or cap is applied"):
        HFPolicy(transformers.AutoModelForCausalLM.from_config(cohere))
    mamba = transformers.MambaConfig(vocab_size=40, hidden_size=32, num_hidden_layers=2, state_size=4)
    transformers.AutoModelForCausalLM.from_config(mamba).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="transformers cannot load it"):
        load_policy(tmp_path)


def test_without_the_extra_it_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    peer("llama").save_pretrained(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(InputError, match=r"not installed\. Install it with: pip install 'echochamber\[hf\]'"):
        load_policy(tmp_path)
    with pytest.raises(InputError):
        require_transformers()


def test_olmo_folders_become_ours(tmp_path: Path) -> None:
    torch.manual_seed(0)
    small = {key: value for key, value in SMALL.items() if key != "num_key_value_heads"}
    transformers.OlmoForCausalLM(transformers.OlmoConfig(**small)).save_pretrained(tmp_path)
    assert isinstance(load_policy(tmp_path), Transformer)
