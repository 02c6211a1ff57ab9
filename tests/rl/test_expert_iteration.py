"""Expert Iteration: what a round keeps, and what it starts from."""

from pathlib import Path
from typing import Any

import pytest
from rl_arms import arm, read
from rl_toy import ToyGrader, toy_policy, train_toy


def test_expert_iteration_imitates_only_what_was_rewarded(tmp_path: Path) -> None:
    config = arm("expert_iteration", tmp_path, keep_above=0.5, samples_per_prompt=16)
    train_toy(config, tmp_path)
    for number in (0, 1):
        head, *kept = read(tmp_path, f"rounds/round-{number:03d}.jsonl")
        assert head["summary"]["samples"] == 16 * 12
        assert head["summary"]["kept"] == len(kept) > 0
        assert sum(head["summary"]["kept_share"].values()) == pytest.approx(1)
        assert all(row["completion"].endswith("a") for row in kept)
        assert len({(row["key"], row["completion"]) for row in kept}) == len(kept)
    rows = read(tmp_path)
    assert [row["round"] for row in rows] == [0, 0, 0, 1, 1, 1]
    assert ["share" in row for row in rows] == [True, False, False, True, False, False]
    assert rows[-1]["samples_seen"] == 2 * 16 * 12


def test_expert_iteration_tunes_the_base_model_unless_online(tmp_path: Path) -> None:
    losses = {}
    for name in ("base", "online"):
        config = arm(
            "expert_iteration", tmp_path, steps=40, rounds=2, online=name == "online", keep_above=0.5,
            samples_per_prompt=32,
        )  # fmt: skip
        train_toy(config, tmp_path / name)
        losses[name] = [row["loss"] for row in read(tmp_path / name)]
    assert losses["base"][:20] == losses["online"][:20]
    assert losses["online"][20] < losses["base"][20]


class NothingRight(ToyGrader):
    def grade(self, completions: Any, golds: Any, **more: Any) -> Any:
        return super().grade(completions, ["z"] * len(golds), **more)


def test_a_round_that_keeps_nothing_leaves_the_weights(tmp_path: Path) -> None:
    policy = toy_policy()
    train_toy(
        arm("expert_iteration", tmp_path, keep_above=0.5), tmp_path, policy=policy, grader=NothingRight()
    )
    start = toy_policy().state_dict()
    assert all(value.equal(start[name]) for name, value in policy.state_dict().items())
    assert read(tmp_path)[0]["kept"] == 0
    assert "kept none" in read(tmp_path, "alarms.jsonl")[0]["alarm"]
