"""What a completion is paid: named rewards, ours and the user's own, and the terms added to any of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from echochamber.base import Problem, Registry
from echochamber.verify import Verdict


@dataclass(frozen=True, slots=True)
class Graded:
    """One training completion with everything a reward may look at.

    Attributes:
        problem: what was asked.
        completion: the text of the response alone.
        verdict: format and outcome.
        num_tokens: length of the response, its end-of-text token included.
        truncated: the length limit ended it.
        draw: a uniform number in [0, 1), a function of (seed, step, sample) and of nothing else.
    """

    problem: Problem
    completion: str
    verdict: Verdict
    num_tokens: int
    truncated: bool
    draw: float


RewardFn = Callable[[Sequence[Graded]], Sequence[float]]
"""From all completions of one step to a reward for each, in order. Must be deterministic."""

REWARDS: Registry[RewardFn] = Registry("reward")


def register_reward(name: str, fn: RewardFn) -> RewardFn:
    """Make a reward usable in a study as `reward: NAME`.

    Raises:
        InputError: the name is taken.
    """
    return REWARDS.register(name, fn)


def correct(graded: Sequence[Graded]) -> list[float]:
    """What the grader pays: 1 for a correct answer, 0 for anything else."""
    return [item.verdict.reward for item in graded]


def random(graded: Sequence[Graded]) -> list[float]:
    """1 or 0 with equal chance, whatever was answered: the no-signal control."""
    return [1.0 if item.draw < 0.5 else 0.0 for item in graded]


def always_one(graded: Sequence[Graded]) -> list[float]:
    """1 for every completion: the other no-signal control."""
    return [1.0] * len(graded)


def format_balanced(graded: Sequence[Graded]) -> list[float]:
    """A correct answer pays 1 / (number of formats x share of its format) among this step's completions.

    A format that fills the batch earns less per correct answer, a rare one more (at most 4), so that no
    format is favoured for being frequent. Only formats that occur in the step count; a wrong answer pays 0.
    """
    counts = Counter(item.verdict.format for item in graded)
    return [
        item.verdict.reward * min(4.0, len(graded) / (len(counts) * counts[item.verdict.format]))
        for item in graded
    ]


register_reward("correct", correct)
register_reward("random", random)
register_reward("always_one", always_one)
register_reward("format_balanced", format_balanced)
