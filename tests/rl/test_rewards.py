"""Rewards and their extra terms by hand, and a user's own."""

from typing import Any

import pytest
from rl_toy import toy_completions

from echochamber.base import InputError
from echochamber.rl import GRPOConfig, RewardConfig, register_reward
from echochamber.rl.rewards import REWARDS, rewards_of


def _config(**more: Any) -> RewardConfig:
    return GRPOConfig(task="t", max_new_tokens=10, **more)


def test_rewards_by_hand() -> None:
    completions = toy_completions(
        ("tinygsm", 1.0, 5), ("tinygsm", 1.0, 9), ("tinygsm", 0.0, 10), ("boxed", 1.0, 2)
    )
    assert rewards_of(_config(), completions) == [1.0, 1.0, 0.0, 1.0]
    assert rewards_of(_config(reward="random"), completions) == [1.0] * 4
    assert rewards_of(_config(reward="random"), toy_completions(("boxed", 1.0, 2), draw=0.5)) == [0.0]
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
        assert rewards_of(_config(reward="shout"), toy_completions(("boxed", 1.0, 7))) == [7.0]
        with pytest.raises(InputError, match="registered twice"):
            register_reward("shout", lambda completions: [0.0])
    finally:
        REWARDS._entries.pop("shout")


def test_a_reward_must_pay_every_completion() -> None:
    register_reward("lazy", lambda completions: [1.0])
    try:
        with pytest.raises(InputError, match="returned 1 values for 2 completions"):
            rewards_of(_config(reward="lazy"), toy_completions(("boxed", 1.0, 7), ("boxed", 1.0, 7)))
    finally:
        REWARDS._entries.pop("lazy")
    register_reward("broken", lambda completions: [float("nan")])
    try:
        with pytest.raises(InputError, match="returned nan for the completion 'x'"):
            rewards_of(_config(reward="broken"), toy_completions(("boxed", 1.0, 7)))
    finally:
        REWARDS._entries.pop("broken")
    for given in (None, 1.0, ["good"]):
        register_reward("odd", lambda completions, given=given: given)
        try:
            with pytest.raises(
                InputError, match="the reward 'odd' returned .*; it must return a list of numb"
            ):
                rewards_of(_config(reward="odd"), toy_completions(("boxed", 1.0, 7)))
        finally:
            REWARDS._entries.pop("odd")
