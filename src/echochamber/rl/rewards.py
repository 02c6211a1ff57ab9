"""Rewards of completions by name, ours and the user's own, and the bonuses and penalties added to them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Self

from pydantic import Field, field_validator, model_validator

from echochamber.base import InputError, Registry, did_you_mean
from echochamber.formats import format_names
from echochamber.model import ModelConfig
from echochamber.rl.config import RLConfig
from echochamber.rollout import Completion, Sampling, check_fit, rollout_bytes

if TYPE_CHECKING:
    from echochamber.rl.learner import Context

QUESTIONS_AT_ONCE = 128
"""Questions that are sampled together when a round asks all questions of a task."""

RewardFn = Callable[[Sequence[Completion]], Sequence[float]]
"""Takes all completions of one step and returns a reward for each, in order. Must be deterministic.

`echochamber.rollout.Completion` documents what a reward may look at."""

REWARDS: Registry[RewardFn] = Registry("reward")


def register_reward(name: str, fn: RewardFn) -> RewardFn:
    """Make a reward usable in a study as `reward: NAME`.

    Raises:
        InputError: the name is taken, or `fn` is no function.
    """
    if not callable(fn):
        raise InputError(f"the reward '{name}' is {fn!r}; expected a function of a step's completions")
    return REWARDS.register(name, fn)


def correct(completions: Sequence[Completion]) -> list[float]:
    """The grader's reward: 1 for a correct answer, 0 for anything else."""
    return [item.verdict.reward for item in completions]


def random(completions: Sequence[Completion]) -> list[float]:
    """1 or 0 with equal probability, whatever the answer: the no-signal control."""
    return [1.0 if item.draw < 0.5 else 0.0 for item in completions]


def always_one(completions: Sequence[Completion]) -> list[float]:
    """1 for every completion: the other no-signal control."""
    return [1.0] * len(completions)


def format_balanced(completions: Sequence[Completion]) -> list[float]:
    """A correct answer earns 1 / (number of formats x share of its format) among this step's completions.

    A format that fills the batch earns less per correct answer, a rare one more (at most 4), so that no
    format is favored for being frequent. Only formats that occur in the step count; a wrong answer earns 0.
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


class RewardConfig(RLConfig):
    """An arm that samples completions and learns from their rewards.

    Attributes:
        samples_per_prompt: completions per question.
        temperature, top_p, top_k: how training completions are drawn; updates see the same distribution.
        reward: name of a registered reward; `random` and `always_one` are controls without signal.
        format_bonus: added to the reward of every completion in that format.
        length_penalty: subtracted for a completion of `max_new_tokens`, proportionally less for shorter ones.
        soft_overlong_fraction: over this last fraction of `max_new_tokens` the reward falls linearly by up to
            1 (DAPO's soft overlong punishment, arXiv:2503.14476, eq. 13); 0 for none.
    """

    samples_per_prompt: int = Field(default=8, ge=1)
    temperature: float = Field(default=0.7, ge=1e-6)
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=0)
    reward: str = "correct"
    format_bonus: dict[str, float] = Field(default={})
    length_penalty: float = Field(default=0.0, ge=0)
    soft_overlong_fraction: float = Field(default=0.0, ge=0, lt=1)

    @field_validator("reward")
    @classmethod
    def _known_reward(cls, name: str) -> str:
        if name not in REWARDS:
            raise ValueError(
                f"unknown reward '{name}': expected one of {', '.join(REWARDS)}.{did_you_mean(name, REWARDS)}"
            )
        return name

    @field_validator("format_bonus")
    @classmethod
    def _known_formats(cls, bonus: dict[str, float]) -> dict[str, float]:
        for name in bonus:
            if name not in format_names():
                raise ValueError(
                    f"unknown format '{name}': expected one of {', '.join(format_names())}."
                    f"{did_you_mean(name, format_names())}"
                )
        return bonus

    @model_validator(mode="after")
    def _needs_a_task(self) -> Self:
        if not self.task:
            raise ValueError("task: missing; name the problem set to train on")
        return self

    @property
    def sampling(self) -> Sampling:
        """How training completions are drawn."""
        return Sampling(
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            max_new_tokens=self.max_new_tokens,
        )

    @property
    def questions_per_step(self) -> int | None:
        """None, because the questions are asked in rounds."""
        return None

    def check(self, context: Context) -> None:
        """Refuse a task without problems, and prompts that leave no room for a completion."""
        if not context.problems:
            raise InputError(
                f"task '{self.task}' holds no problems; {self.algorithm} needs questions to sample from"
            )
        check_fit(
            context.tokenizer.encode_prompts([problem.question for problem in context.problems]),
            max_new_tokens=self.max_new_tokens,
            context_length=context.policy.config.context_length,
            what=f"task '{self.task}'",
        )

    def gpu_bytes(self, shape: ModelConfig, *, num_processes: int = 1) -> dict[str, float]:
        """Training, plus the engine with the completions of one process."""
        questions = self.questions_per_step or QUESTIONS_AT_ONCE
        completions = max(1, questions // num_processes) * self.samples_per_prompt
        return super().gpu_bytes(shape, num_processes=num_processes) | rollout_bytes(
            shape, completions=completions, context=shape.context_length
        )


def rewards_of(config: RewardConfig, completions: Sequence[Completion]) -> list[float]:
    """The configured reward of each completion, with bonuses and penalties.

    Raises:
        InputError: the reward gave another number of values than there are completions, or one that is
            no finite number.
    """
    given = REWARDS.get(config.reward)(completions)
    try:
        paid = [float(value) for value in given]
    except (TypeError, ValueError) as error:
        raise InputError(
            f"the reward '{config.reward}' returned {str(given)[:80]}; it must return a list of numbers"
        ) from error
    if len(paid) != len(completions):
        raise InputError(
            f"the reward '{config.reward}' returned {len(paid)} values for {len(completions)} completions; "
            "it must return one for each, in order"
        )
    bad = next((i for i, value in enumerate(paid) if not math.isfinite(value)), None)
    if bad is not None:
        raise InputError(
            f"the reward '{config.reward}' returned {paid[bad]} for the completion "
            f"{completions[bad].text[:80]!r}; it must return finite numbers"
        )
    return [
        value
        + config.format_bonus.get(item.verdict.format, 0.0)
        - config.length_penalty * item.num_tokens / config.max_new_tokens
        - _overlong(item.num_tokens, config)
        for value, item in zip(paid, completions, strict=True)
    ]


def _overlong(num_tokens: int, config: RewardConfig) -> float:
    """0 up to the last fraction of the allowed length, then rising linearly to 1 at its end."""
    buffer_tokens = config.soft_overlong_fraction * config.max_new_tokens
    if buffer_tokens == 0:
        return 0.0
    return max(0.0, num_tokens - (config.max_new_tokens - buffer_tokens)) / buffer_tokens
