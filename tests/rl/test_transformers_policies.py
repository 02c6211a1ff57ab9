"""Post-training of transformers' models: the same updates as on ours, for every kind of algorithm."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rl_arms import arm
from rl_toy import toy_policy, train_toy

from echochamber.base import read_json
from echochamber.model import HFPolicy, load_policy
from echochamber.rl import RLConfig
from echochamber.rollout import make_engine
from echochamber.train import OptimizerConfig

transformers = pytest.importorskip("transformers")

KINDS = ["grpo", "ppo", "ppo, shared", "ppo, top-p", "expert_iteration", "sft"]


def as_peer() -> HFPolicy:
    """The toy policy, carried by the class of transformers."""
    return HFPolicy(toy_policy(dtype=torch.float64).to_transformers(eos_id=8, pad_id=9))


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", KINDS)
def test_the_same_weights_learn_the_same_in_either_class(name: str, tmp_path: Path) -> None:
    """The packed rows, masks, positions, head and value head of one against those of the other."""
    config = arm(name, tmp_path)
    # A large eps: the first steps of Adam would turn the sign of a rounding error into a whole step.
    smooth = OptimizerConfig(learning_rate=0.1, eps=0.1, weight_decay=0.0)
    config = config.model_copy(update={"steps": 4, "optimizer": smooth, "critic_optimizer": smooth})
    train_toy(config, tmp_path / "ours", policy=toy_policy(dtype=torch.float64))
    train_toy(config, tmp_path / "theirs", policy=as_peer())
    ours, theirs = rows(tmp_path / "ours"), rows(tmp_path / "theirs")
    assert len(ours) == len(theirs) == 4
    for mine, other in zip(ours, theirs, strict=True):
        for key in ("loss", "reward", "grad_norm", "kl", "value_loss", "entropy"):
            if key in mine:
                assert other[key] == pytest.approx(mine[key], rel=1e-3, abs=1e-5), key


def llama() -> HFPolicy:
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=10, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=24, bos_token_id=0, eos_token_id=8, pad_token_id=9, initializer_range=0.25,
    )  # fmt: skip
    return HFPolicy(transformers.LlamaForCausalLM(config))


class _KilledError(Exception):
    pass


def _killed_at(wanted: int) -> Any:
    def on_step(step: int, current: Any) -> None:
        if step == wanted:
            raise _KilledError

    return on_step


@pytest.mark.parametrize("name", ["ppo", "expert_iteration"])
def test_a_killed_run_ends_with_the_same_bytes(name: str, tmp_path: Path) -> None:
    config: RLConfig = arm(name, tmp_path)
    train_toy(config, tmp_path / "whole", policy=llama())
    with pytest.raises(_KilledError):
        train_toy(config, tmp_path / "twice", policy=llama(), steps=[5], on_step=_killed_at(5))
    result = train_toy(config, tmp_path / "twice", policy=llama())
    for file in ("model/model.safetensors", "metrics.jsonl"):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "twice" / file).read_bytes()
    assert read_json(result.model / "config.json")["model_type"] == "llama"
    assert not torch.equal(load_policy(result.model).head_weight, llama().head_weight)


def test_it_learns(tmp_path: Path) -> None:
    config = arm("grpo", tmp_path).model_copy(update={"steps": 30})
    policy = llama()
    engine = make_engine("hf", policy, SimpleNamespace(eos_id=8, pad_id=9))
    train_toy(config, tmp_path / "run", policy=policy, engine=engine)
    found = [row["reward"] for row in rows(tmp_path / "run")]
    assert found[-1] > found[0] + 0.2
