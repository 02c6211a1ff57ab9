"""The example of a user's own algorithm, found through a study's `modules:`: it trains and resumes."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from rl_toy import train_toy
from test_trl_parity import MAX_NEW_TOKENS, NUM_COMPLETIONS, _peer, _tensors

import echochamber
from echochamber.rl import ALGORITHMS, RLConfig
from echochamber.rl import objectives as obj
from echochamber.study import load_study

EXAMPLE = Path(__file__).parents[2] / "examples" / "cispo.py"
STUDY = """
study: own
modules: [{example}]
tasks:
  test: {{kind: word_problems, num_problems: 12, levels: [1], largest: 9}}
  train: {{kind: word_problems, num_problems: 16, levels: [1], largest: 9}}
sources: {{code: {{kind: word_problems, format: tinygsm, levels: [1], largest: 9}}}}
tokenizer: {{vocab_size: 300}}
mixtures: {{code: {{kind: controlled, tokens: 6000, shares: {{code: 1}}}}}}
model: {{sizes: [pico], context_length: 96}}
pretrain: {{batch_size: 4, sequence_length: 32}}
evaluation: {{benchmarks: [test], num_samples: 2, max_new_tokens: 24}}
arms:
  own: {{algorithm: cispo, task: train, steps: 6, checkpoint_every: 2, prompts_per_step: 6,
        prompts_per_update: 3, samples_per_prompt: 8, temperature: 1.0, max_new_tokens: 5, max_ratio: 1.05,
        optimizer: {{learning_rate: 0.02, weight_decay: 0.0}}}}
"""


@pytest.fixture
def arm(tmp_path: Path) -> Iterator[RLConfig]:
    """The arm of the study; the algorithm is unknown before and after."""
    assert "cispo" not in ALGORITHMS
    path = tmp_path / "study.yaml"
    path.write_text(STUDY.format(example=EXAMPLE))
    try:
        yield load_study(path)[0][1].arms["own"]
    finally:
        ALGORITHMS._entries.pop("cispo")
        for name in [name for name in sys.modules if name.startswith("echochamber_user_cispo_")]:
            del sys.modules[name]


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_it_takes_less_than_sixty_lines() -> None:
    assert len(EXAMPLE.read_text().splitlines()) < 60
    assert echochamber.register_algorithm is not None


class Killed(Exception):
    pass


def test_it_trains_resumes_and_is_measured(arm: RLConfig, tmp_path: Path) -> None:
    arm = arm.model_copy(update={"steps": 12})
    train_toy(arm, tmp_path / "whole")

    def kill(step: int, policy: object) -> None:
        raise Killed

    with pytest.raises(Killed):
        train_toy(arm, tmp_path / "parts", steps=[7], on_step=kill)
    train_toy(arm, tmp_path / "parts")
    for file in ("metrics.jsonl", "model/model.safetensors"):
        assert (tmp_path / "parts" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes(), file
    found = rows(tmp_path / "whole")
    assert found[-1]["correct"] > found[0]["correct"] + 0.2
    assert all(row["token_surprise"] > 0 for row in found)
    # The first of two updates has ratios of 1.
    assert 0 < found[0]["clip_high_fraction"] < 0.5
    assert all(row["clip_low_fraction"] == 0 for row in found)


def test_its_loss_and_gradient_equal_trl(arm: RLConfig) -> None:
    trl = pytest.importorskip("trl.trainer.grpo_trainer")
    tensors = _tensors()
    trainer, leaf, inputs = _peer(tensors, loss_type="cispo", epsilon_high=1.2)
    expected = trl.GRPOTrainer._compute_loss(trainer, trainer.model, inputs)
    expected.backward()
    module = sys.modules[type(arm).__module__]
    learner: Any = object.__new__(module.CISPOLearner)
    learner.config = arm.model_copy(update={"max_ratio": 1.2})
    ours, mask = tensors["logp"].clone().requires_grad_(True), tensors["mask"]
    advantage = tensors["advantage"][:, None].expand_as(ours)
    loss = obj.policy_objective(
        learner.surrogate(ours, tensors["old"], advantage, mask), ours, mask, aggregation="token_mean"
    )
    total = loss.total / obj.normalizer_of(NUM_COMPLETIONS, int(mask.sum()), MAX_NEW_TOKENS, "token_mean")
    total.backward()
    assert ours.grad is not None and 0 < int(loss.metrics["clipped_high"]) < int(mask.sum())
    torch.testing.assert_close(total.detach(), expected.detach(), rtol=1e-12, atol=0)
    torch.testing.assert_close(ours.grad, leaf.grad, rtol=1e-12, atol=1e-15)
