"""GRPO: group advantages by hand, and end to end in the toy world."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from rl_toy import toy_policy, train_toy

from echochamber.rl import GRPOConfig, group_advantages
from echochamber.train import OptimizerConfig

SETTINGS: dict[str, Any] = {
    "task": "toy",
    "steps": 30,
    "prompts_per_step": 6,
    "prompts_per_update": None,
    "samples_per_prompt": 8,
    "temperature": 1.0,
    "max_new_tokens": 6,
    "optimizer": OptimizerConfig(learning_rate=1e-2, weight_decay=0.0),
}


def read(folder: Path, name: str = "metrics.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def test_group_advantages_by_hand() -> None:
    reward = torch.tensor([[1.0, 0.0, 0.0, 1.0], [1.0, 1.0, 1.0, 1.0]], dtype=torch.float64)
    std = (4 * 0.25 / 3) ** 0.5
    expected = torch.tensor([[0.5, -0.5, -0.5, 0.5], [0.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(group_advantages(reward), expected / (std + 1e-9))
    torch.testing.assert_close(group_advantages(reward, scale="none"), expected)
    overall = reward.std().item()
    torch.testing.assert_close(group_advantages(reward, scale="batch_std"), expected / (overall + 1e-9))


def test_equal_rewards_give_exactly_zero_whatever_the_rounding() -> None:
    for value in (0.1, 1 / 3, 0.7, 1e9 + 0.1):
        for dtype in (torch.float32, torch.float64):
            assert (group_advantages(torch.full((1, 7), value, dtype=dtype)) == 0).all()


def test_a_group_of_one_has_no_mean_to_compare_with() -> None:
    with pytest.raises(ValueError, match="at least 2 samples"):
        group_advantages(torch.ones(3, 1))


def test_grpo_learns_what_is_paid(tmp_path: Path) -> None:
    seen: list[int] = []
    result = train_toy(
        GRPOConfig(**SETTINGS), tmp_path, steps=(0, 3, 30), on_step=lambda step, policy: seen.append(step)
    )
    rows = read(tmp_path)
    assert [row["step"] for row in rows] == list(range(1, 31))
    assert seen == [0, 3, 30]
    assert rows[0]["correct"] < 0.4 < 0.8 < rows[-1]["correct"]
    for row in rows:
        assert sum(row["share"].values()) == pytest.approx(1)
        assert row["samples_seen"] == 48 * row["step"]
        assert row["ratio_mean"] == 1.0 and row["ratio_std"] == 0.0
        assert row["mismatch_max"] < 1e-4
    assert rows[0]["kl"] == pytest.approx(0, abs=1e-9) and rows[-1]["kl"] > 0.01
    assert result.samples_seen == 48 * 30
    assert (result.model / "model.safetensors").is_file()


def test_several_updates_a_rollout_start_at_ratio_1_and_move_away(tmp_path: Path) -> None:
    config = GRPOConfig(**{**SETTINGS, "steps": 2, "prompts_per_update": 2, "epochs": 2, "reward": "random"})
    train_toy(config, tmp_path)
    assert config.updates_per_step == 6
    assert all(row["ratio_std"] > 0 for row in read(tmp_path))


@pytest.mark.parametrize("reward", ["random", "always_one"])
def test_control_rewards_ignore_the_answers(tmp_path: Path, reward: str) -> None:
    train_toy(GRPOConfig(**{**SETTINGS, "steps": 4, "reward": reward}), tmp_path)
    rows = read(tmp_path)
    expected = 1.0 if reward == "always_one" else 0.5
    assert all(abs(row["reward"] - expected) < 0.2 for row in rows)
    if reward == "always_one":
        assert all(row["no_signal_fraction"] == 1.0 for row in rows)
        assert rows[0]["grad_norm"] < 1e-5
        assert len(read(tmp_path, "alarms.jsonl")) == 1


class Killed(Exception):
    pass


def test_a_killed_run_ends_with_the_same_bytes(tmp_path: Path) -> None:
    config = GRPOConfig(**{**SETTINGS, "steps": 7, "checkpoint_every": 2, "prompts_per_update": 3})
    train_toy(config, tmp_path / "whole", steps=range(8))

    for stop in (1, 3, 4, 6):

        def kill(step: int, policy: object, stop: int = stop) -> None:
            if step == stop:
                raise Killed

        with pytest.raises(Killed):
            train_toy(config, tmp_path / "parts", steps=range(8), on_step=kill, policy=toy_policy())
    train_toy(config, tmp_path / "parts", steps=range(8))
    for name in ("metrics.jsonl", "alarms.jsonl", "model/model.safetensors"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
