"""Configs of algorithms: what is refused, the defaults, and what importing them costs."""

import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import TypeAdapter
from rl_arms import ARMS, arm

from echochamber.base import Config, InputError, parse_yaml, validate
from echochamber.model import size_config
from echochamber.rl import (
    ALGORITHMS,
    AlgorithmConfig,
    ExpertIterationConfig,
    GRPOConfig,
    PolicyGradientConfig,
    RLConfig,
    Workload,
    register_algorithm,
)


class _Arm(Config):
    arm: AlgorithmConfig


def _validated(text: str) -> RLConfig:
    return validate(parse_yaml(f"arm: {text}", "study.yaml"), _Arm).arm


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{algorithm: grpo, task: t, samples_per_prompt: 1}", "a group of one has no mean"),
        ("{algorithm: rloo, task: t, samples_per_prompt: 1}", "a group of one has no mean"),
        ("{algorithm: grpo, task: t, prompts_per_step: 10}", "prompts_per_update 8 does not divide"),
        ("{algorithm: grpo, task: t, reference: none, measure_kl: false}", "needs a reference model"),
        ("{algorithm: grpo, task: t, reference: none, kl_coefficient: 0}", "measure_kl needs a reference"),
        ("{algorithm: grpo, task: t, kl_estimator: k1}", "k1 as a loss has an expected gradient of 0"),
        ("{algorithm: grpo, task: t, kl_coefficient: 0, kl_target: 0.1}", "would stay 0"),
        ("{algorithm: grpo, task: t, temperature: 0}", "greater than or equal to 0.000001"),
        ("{algorithm: grpo, task: t, reward: corect}", "Did you mean 'correct'"),
        ("{algorithm: grpo, task: t, format_bonus: {tinygms: 1}}", "Did you mean 'tinygsm'"),
        ("{algorithm: grpo, task: t, stpes: 3}", "Did you mean 'steps'"),
        ("{algorithm: grpo}", "task: missing"),
        (
            "{algorithm: ppo, task: t, critic: shared, critic_warmup_steps: 2}",
            "critic_warmup_steps has no",
        ),
        ("{algorithm: ppo, task: t, value_coefficient: 0.1}", "value_coefficient has no effect"),
        ("{algorithm: ppo, task: t, steps: 5, critic_warmup_steps: 5}", "leaves none of the 5 steps"),
        ("{algorithm: expert_iteration, task: t, steps: 10, rounds: 3}", "rounds 3 does not divide steps 10"),
        ("{algorithm: sft, num_documents: 5}", "source: missing"),
        ("{algorithm: pppo, task: t}", "Did you mean 'ppo'"),
    ],
)
def test_contradictions_are_refused_with_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(InputError, match="study.yaml:1") as caught:
        _validated(text)
    assert sentence in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "algorithm", ["grpo", "dr_grpo", "dapo", "gspo", "rloo", "reinforce_baseline", "ppo", "expert_iteration"]
)
def test_defaults_are_complete(algorithm: str) -> None:
    config = _validated(f"{{algorithm: {algorithm}, task: t}}")
    assert config.total_steps == config.steps
    assert config.optimizer.betas == (0.9, 0.95) and config.optimizer.max_grad_norm == 1.0


def test_the_papers_settings() -> None:
    ppo = _validated("{algorithm: ppo, task: t}").model_dump()
    expected: dict[str, Any] = {
        "prompts_per_step": 64, "samples_per_prompt": 8, "temperature": 0.7, "prompts_per_update": 8,
        "epochs": 1, "gamma": 1.0, "gae_lambda": 0.95, "clip_low": 0.2, "clip_high": 0.2, "value_clip": 0.2,
        "kl_in": "reward", "kl_estimator": "k1", "normalize_advantages": True, "critic": "own",
        "entropy_bonus": 0.0,
    }  # fmt: skip
    assert {name: ppo[name] for name in expected} == expected
    assert ppo["optimizer"]["learning_rate"] == 1e-6 and ppo["critic_optimizer"]["learning_rate"] == 7e-6
    assert ppo["optimizer"]["warmup_fraction"] == 0.03 and ppo["optimizer"]["final_fraction"] == 0.1
    expert = _validated("{algorithm: expert_iteration, task: t}").model_dump()
    assert (expert["samples_per_prompt"], expert["temperature"], expert["top_p"]) == (64, 1.0, 0.95)
    assert (expert["batch_size"], expert["optimizer"]["learning_rate"], expert["online"]) == (
        256,
        1e-4,
        False,
    )


def test_a_resolved_config_reads_back_equal(tmp_path: Path) -> None:
    adapter: TypeAdapter[RLConfig] = TypeAdapter(AlgorithmConfig)
    for name in ARMS:
        config = arm(name, tmp_path)
        assert adapter.validate_python(config.model_dump(mode="json")) == config


def test_reading_configs_imports_no_pytorch() -> None:
    code = (
        "import sys; from echochamber.rl import ALGORITHMS, AlgorithmConfig; "
        "ALGORITHMS.get('ppo')(task='t'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_work_of_each_kind_of_arm() -> None:
    grpo = GRPOConfig(
        task="t", steps=3, prompts_per_step=4, prompts_per_update=2, samples_per_prompt=5, epochs=2
    )
    # Two epochs, and a third of a step each for the old and the reference's log-probabilities.
    assert grpo.workload(100) == Workload(12, 5, 60 * (2 + 2 / 3))
    assert (grpo.questions_per_step, grpo.documents) == (4, None)
    expert = ExpertIterationConfig(task="t", steps=6, rounds=3, samples_per_prompt=4, batch_size=2)
    assert expert.workload(100) == Workload(300, 4, 12)
    assert expert.questions_per_step is None
    source = "source: {kind: jsonl, path: x}"
    tuned = _validated(f"{{algorithm: sft, num_documents: 5, steps: 3, batch_size: 2, {source}}}")
    assert tuned.workload(0) == Workload(trained=6)
    assert tuned.questions_per_step == 0
    assert tuned.documents is not None and tuned.documents.count == 5


def test_memory_is_counted_for_what_an_arm_holds() -> None:
    shape = size_config("pico", vocab_size=300, context_length=96)
    more: dict[str, Any] = {"task": "t", "prompts_per_step": 8}
    parts = {
        name: ALGORITHMS.get(name)(**settings).gpu_bytes(shape)
        for name, settings in {"grpo": more, "ppo": more, "expert_iteration": {"task": "t"}}.items()
    }
    assert "KV cache" in parts["expert_iteration"] and "reference" not in parts["expert_iteration"]
    assert "reference" in parts["grpo"] and "critic: weights" not in parts["grpo"]
    assert "critic: weights" in parts["ppo"]
    halved = GRPOConfig(**more).gpu_bytes(shape, num_processes=2)
    assert halved["KV cache"] == parts["grpo"]["KV cache"] / 2


def test_an_algorithm_that_cannot_be_used_is_refused_when_it_is_registered() -> None:
    class Idle(PolicyGradientConfig):
        algorithm: Literal["idle"] = "idle"

    class Renamed(GRPOConfig):
        pass

    with pytest.raises(InputError, match="the algorithm 'idle': Idle does not define learner"):
        register_algorithm("idle", Idle)
    with pytest.raises(InputError, match="the algorithm 'renamed': Renamed calls itself 'grpo'; give both"):
        register_algorithm("renamed", Renamed)
    assert not {"idle", "renamed"} & set(ALGORITHMS)
