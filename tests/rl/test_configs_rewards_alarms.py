"""Refused configs, rewards and their extra terms, questions of a step, alarms, the stop on NaN."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from rl_toy import LETTERS, toy_completion, toy_policy, toy_problems, train_toy

from echochamber.base import Config, InputError, parse_yaml, validate
from echochamber.rl import AlgorithmConfig, GRPOConfig, RewardConfig, RLConfig, register_reward
from echochamber.rl.alarms import CONFIRM, alarms_of, confirmed
from echochamber.rl.rewards import REWARDS
from echochamber.rl.rollouts import further_questions, questions_of_step, rewards_of
from echochamber.rl.step_metrics import completion_row
from echochamber.rollout import Completion
from echochamber.train import NonFiniteError
from echochamber.verify import Outcome, Verdict


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


def _completions(*items: tuple[str, float, int], draw: float = 0.3) -> list[Completion]:
    return [
        toy_completion(
            Verdict(name, Outcome.correct if paid else Outcome.wrong, None, paid),
            num_tokens=n,
            truncated=n >= 10,
            draw=draw,
        )
        for name, paid, n in items
    ]


def _config(**more: Any) -> RewardConfig:
    return GRPOConfig(task="t", max_new_tokens=10, **more)


def test_rewards_by_hand() -> None:
    completions = _completions(
        ("tinygsm", 1.0, 5), ("tinygsm", 1.0, 9), ("tinygsm", 0.0, 10), ("boxed", 1.0, 2)
    )
    assert rewards_of(_config(), completions) == [1.0, 1.0, 0.0, 1.0]
    assert rewards_of(_config(reward="random"), completions) == [1.0] * 4
    assert rewards_of(_config(reward="random"), _completions(("boxed", 1.0, 2), draw=0.5)) == [0.0]
    assert rewards_of(_config(reward="always_one"), completions) == [1.0] * 4
    assert rewards_of(_config(format_bonus={"boxed": 0.25}), completions) == [1.0, 1.0, 0.0, 1.25]
    assert rewards_of(_config(length_penalty=0.5), completions) == pytest.approx([0.75, 0.55, -0.5, 0.9])
    # Overlong: nothing up to 6 of 10 tokens, then linearly to -1.
    assert rewards_of(_config(soft_overlong_fraction=0.4), completions) == pytest.approx(
        [1.0, 0.25, -1.0, 1.0]
    )
    # Balanced: 4 / (2 formats x 3) and 4 / (2 x 1).
    assert rewards_of(_config(reward="format_balanced"), completions) == pytest.approx(
        [2 / 3, 2 / 3, 0.0, 2.0]
    )


def test_a_reward_of_the_users_own() -> None:
    def shout(completions: Any) -> list[float]:
        return [float(item.num_tokens) for item in completions]

    register_reward("shout", shout)
    try:
        assert rewards_of(_config(reward="shout"), _completions(("boxed", 1.0, 7))) == [7.0]
        with pytest.raises(InputError, match="registered twice"):
            register_reward("shout", lambda completions: [0.0])
    finally:
        REWARDS._entries.pop("shout")


def test_a_reward_must_pay_every_completion() -> None:
    register_reward("lazy", lambda completions: [1.0])
    try:
        with pytest.raises(InputError, match="returned 1 values for 2 completions"):
            rewards_of(_config(reward="lazy"), _completions(("boxed", 1.0, 7), ("boxed", 1.0, 7)))
    finally:
        REWARDS._entries.pop("lazy")
    register_reward("broken", lambda completions: [float("nan")])
    try:
        with pytest.raises(InputError, match="returned nan for the completion 'x'"):
            rewards_of(_config(reward="broken"), _completions(("boxed", 1.0, 7)))
    finally:
        REWARDS._entries.pop("broken")


def test_questions_come_pass_after_pass() -> None:
    asked = [i for step in range(10) for i in questions_of_step(7, step, 6, 20)]
    assert sorted(asked[:20]) == sorted(asked[20:40]) == list(range(20))
    assert asked[:20] != asked[20:40]
    assert questions_of_step(7, 3, 6, 20) == asked[18:24]
    assert questions_of_step(8, 0, 6, 20) != asked[:6]
    assert len(set(further_questions(7, 0, 1, 6, 20))) == 6
    assert further_questions(7, 0, 1, 6, 20) != further_questions(7, 0, 2, 6, 20)


def test_completion_row_by_hand() -> None:
    row = completion_row(
        _completions(("tinygsm", 1.0, 5), ("tinygsm", 0.0, 10), ("boxed", 0.0, 3), ("none", 0.0, 2))
    )
    assert row["share"] == {"boxed": 0.25, "none": 0.25, "tinygsm": 0.5}
    assert row["accuracy"] == {"boxed": 0.0, "none": 0.0, "tinygsm": 0.5}
    assert row["correct"] == 0.25 and row["mean_tokens"] == 5.0 and row["max_tokens"] == 10
    assert row["truncated_fraction"] == 0.25
    assert row["format_entropy"] == pytest.approx(1.0397207708)


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({"no_signal_fraction": 0.96}, "no_signal"),
        ({"entropy": 0.01}, "entropy_collapse"),
        ({"kl": 1.5}, "kl_runaway"),
        ({"explained_variance": -2.0}, "value_divergence"),
        ({"kept": 0}, "kept_nothing"),
    ],
)
def test_alarms_say_what_is_wrong_and_what_helps(row: dict[str, Any], name: str) -> None:
    assert list(alarms_of(row)) == [name]
    assert alarms_of(dict.fromkeys(row, 0.5)) == {}


def test_an_alarm_needs_several_steps_in_a_row_and_is_raised_once() -> None:
    streaks: dict[str, int] = {}
    bad, good = {"no_signal": "sentence"}, {}
    raised = [confirmed(streaks, found) for found in (bad, bad, good, *[bad] * CONFIRM, bad)]
    assert raised == [[], [], [], *[[]] * (CONFIRM - 1), ["sentence"], []]


TINY: dict[str, Any] = {
    "task": "toy", "steps": 6, "prompts_per_step": 4, "prompts_per_update": None, "samples_per_prompt": 4,
    "max_new_tokens": 5, "temperature": 1.0, "checkpoint_every": 1, "reward": "random",
}  # fmt: skip


def test_nan_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    def poison(step: int, policy: Any) -> None:
        if step == 3:
            with torch.no_grad():
                next(policy.parameters()).mul_(float("nan"))

    with pytest.raises(NonFiniteError, match=r"at step 3.*the batch was 4 questions.*step-0000000\d"):
        train_toy(
            GRPOConfig(**{**TINY, "optimizer": {"learning_rate": 1e-3}}), tmp_path, steps=(3,), on_step=poison
        )
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == 3
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"max_new_tokens": 30}, "exceeds the model's context of 24"),
        ({"prompts_per_step": 13}, "exceeds the 12 problems"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_work(
    tmp_path: Path, more: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        train_toy(GRPOConfig(**{**TINY, **more}), tmp_path)
    assert not (tmp_path / "metrics.jsonl").exists()


def test_no_problems_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no problems"):
        train_toy(GRPOConfig(**TINY), tmp_path, problems=[])


def test_supervised_documents_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "documents.jsonl"
    long, short = {"question": "ab", "solution": "c" * 40}, {"question": "ab", "solution": LETTERS}
    path.write_text("".join(json.dumps(row) + "\n" for row in (long, short)))
    adapter: TypeAdapter[RLConfig] = TypeAdapter(AlgorithmConfig)
    data = {"algorithm": "sft", "steps": 1, "batch_size": 2, "source": {"kind": "jsonl", "path": str(path)}}
    train_toy(adapter.validate_python({**data, "num_documents": 2}), tmp_path / "run", problems=[])
    row = json.loads((tmp_path / "run" / "metrics.jsonl").read_text())
    assert (row["documents"], row["documents_left_out"]) == (1, 1)
    with pytest.raises(InputError, match="holds 2 documents, num_documents asks for 3"):
        train_toy(adapter.validate_python({**data, "num_documents": 3}), tmp_path / "more", problems=[])


def test_the_reference_stays_what_the_run_started_from(tmp_path: Path) -> None:
    """Also after a restart: the start weights are given again, the checkpoint goes over them."""
    config = GRPOConfig(**{**TINY, "steps": 3, "optimizer": {"learning_rate": 1e-2, "weight_decay": 0.0}})

    class Stop(Exception):
        pass

    def stop(step: int, policy: Any) -> None:
        if step == 2:
            raise Stop

    with pytest.raises(Stop):
        train_toy(config, tmp_path, steps=(2,), on_step=stop, problems=toy_problems())
    train_toy(config, tmp_path, policy=toy_policy())
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert rows[0]["kl"] == 0.0 and rows[1]["kl"] > 0 and rows[2]["kl"] > 0
