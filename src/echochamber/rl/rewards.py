"""What a completion is paid: named rewards, ours and the user's own, and the terms added to any of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from echochamber.base import Registry
from echochamber.rollout import Completion

RewardFn = Callable[[Sequence[Completion]], Sequence[float]]
"""From all completions of one step to a reward for each, in order. Must be deterministic.

What a reward may look at is documented at `echochamber.rollout.Completion`."""

REWARDS: Registry[RewardFn] = Registry("reward")


def register_reward(name: str, fn: RewardFn) -> RewardFn:
    """Make a reward usable in a study as `reward: NAME`.

    Raises:
        InputError: the name is taken.
    """
    return REWARDS.register(name, fn)


def correct(completions: Sequence[Completion]) -> list[float]:
    """What the grader pays: 1 for a correct answer, 0 for anything else."""
    return [item.verdict.reward for item in completions]


def random(completions: Sequence[Completion]) -> list[float]:
    """1 or 0 with equal chance, whatever was answered: the no-signal control."""
    return [1.0 if item.draw < 0.5 else 0.0 for item in completions]


def always_one(completions: Sequence[Completion]) -> list[float]:
    """1 for every completion: the other no-signal control."""
    return [1.0] * len(completions)


def format_balanced(completions: Sequence[Completion]) -> list[float]:
    """A correct answer pays 1 / (number of formats x share of its format) among this step's completions.

    A format that fills the batch earns less per correct answer, a rare one more (at most 4), so that no
    format is favored for being frequent. Only formats that occur in the step count; a wrong answer pays 0.
    """
    counts = Counter(item.verdict.format for item in completions)
    return [
        item.verdict.reward * min(4.0, len(completions) / (len(counts) * counts[item.verdict.format]))
        for item in completions
    ]


register_reward("correct", correct)
register_reward("random", random)
register_reward("always_one", always_one)
register_reward("format_balanced", format_balanced)
