"""From a step number to graded, rewarded completions.

Everything here is a function of (seed, step) and the policy's weights: which
questions are asked, which random numbers sample their answers, which draw a
random reward gets.

Shape suffixes: P prompts, G samples per prompt, B = P x G completions, T response tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from echochamber.base import InputError, Problem, derive_seed
from echochamber.base.lazy import torch
from echochamber.rl.packing import Sample
from echochamber.rl.rewards import REWARDS
from echochamber.rl.step_metrics import no_signal
from echochamber.rollout import Completion, grade, sample

if TYPE_CHECKING:
    from torch import Tensor

    from echochamber.rl.config import PolicyGradientConfig, RewardConfig
    from echochamber.rl.learner import Learner


@dataclass(frozen=True)
class Rollouts:
    """Rewarded completions, group by group.

    Attributes:
        completions: number i belongs to prompt i // G.
        reward_PG: float64.
        num_drawn: completions sampled for it, including those that dynamic sampling dropped.
    """

    completions: list[Completion]
    reward_PG: Tensor
    num_drawn: int

    def groups(self, chosen: Sequence[int]) -> Rollouts:
        """The rollouts of the chosen prompts; `num_drawn` stays."""
        size = self.num_samples
        return Rollouts(
            completions=[self.completions[prompt * size + g] for prompt in chosen for g in range(size)],
            reward_PG=self.reward_PG[list(chosen)],
            num_drawn=self.num_drawn,
        )

    def joined(self, other: Rollouts) -> Rollouts:
        """These groups, then the other's."""
        return Rollouts(
            completions=self.completions + other.completions,
            reward_PG=torch.cat([self.reward_PG, other.reward_PG]),
            num_drawn=self.num_drawn + other.num_drawn,
        )

    @property
    def prompts(self) -> list[list[int]]:
        """Token ids of each prompt."""
        return [item.prompt for item in self.completions[:: self.num_samples]]

    @property
    def num_samples(self) -> int:
        """Completions per prompt."""
        return int(self.reward_PG.shape[1])

    def correct(self) -> Tensor:
        """What the grader found: 1 for a correct answer, 0 for any other, whatever it was paid; float64."""
        right_B = [item.verdict.reward for item in self.completions]
        return torch.tensor(right_B, dtype=torch.float64).view_as(self.reward_PG)

    def samples(self) -> list[Sample]:
        """The completions as the trainer sees them."""
        return [
            Sample(
                prompt=index // self.num_samples,
                token_ids=item.sampled.token_ids.astype(np.int64),
                nucleus=item.sampled.nucleus,
            )
            for index, item in enumerate(self.completions)
        ]

    def mask(self) -> Tensor:
        """(B, T): True on sampled tokens."""
        lengths_B = torch.tensor([item.num_tokens for item in self.completions])
        return torch.arange(int(lengths_B.max())) < lengths_B[:, None]

    def rollout_logp(self) -> Tensor:
        """(B, T) float32: what the engine said its tokens' log-probabilities were, 0 elsewhere."""
        mask_BT = self.mask()
        logp_BT = torch.zeros(mask_BT.shape)
        logp_N = np.concatenate([item.sampled.logprobs for item in self.completions])
        logp_BT[mask_BT] = torch.from_numpy(logp_N)
        return logp_BT


@lru_cache(maxsize=4)
def _order(seed: int, number: int, size: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng(derive_seed(seed, "question-order", number)).permutation(size)


def further_questions(seed: int, step: int, draw: int, count: int, num_problems: int) -> list[int]:
    """Indices of `count` questions for a further rollout within a step."""
    rng = np.random.default_rng(derive_seed(seed, "further-questions", step, draw))
    return [int(i) for i in rng.choice(num_problems, size=count, replace=count > num_problems)]


def questions_of_step(seed: int, step: int, prompts_per_step: int, num_problems: int) -> list[int]:
    """Indices of the questions of a step: pass after pass over all problems, each in its own order."""
    places = range(step * prompts_per_step, (step + 1) * prompts_per_step)
    return [int(_order(seed, p // num_problems, num_problems)[p % num_problems]) for p in places]


def rewards_of(config: RewardConfig, completions: Sequence[Completion]) -> list[float]:
    """The configured reward of each completion, with bonus and penalty.

    Raises:
        InputError: the reward gave another number of values than there are completions, or one that is
            not finite.
    """
    paid = [float(value) for value in REWARDS.get(config.reward)(completions)]
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
    """0 up to the last part of the allowed length, then rising linearly to 1 at its end."""
    buffer_tokens = config.soft_overlong_fraction * config.max_new_tokens
    if buffer_tokens == 0:
        return 0.0
    return max(0.0, num_tokens - (config.max_new_tokens - buffer_tokens)) / buffer_tokens


def collect(
    learner: Learner,
    config: RewardConfig,
    problems: Sequence[Problem],
    *,
    step: int,
    first_slot: int = 0,
) -> Rollouts:
    """Sample, grade and reward `samples_per_prompt` completions of each problem.

    Random numbers depend on (seed, step, slot, sample, position); `first_slot`
    is the slot of the first problem, so that further draws within a step differ.
    Each of several processes samples and grades its part, and all get the whole.
    """
    context, world, size = learner.context, learner.context.world, config.samples_per_prompt
    mine = world.part(len(problems))
    completions: list[Completion] = []
    if mine.stop > mine.start:
        with learner.timed("rollout_seconds"):
            groups = sample(
                problems[mine],
                context.engine,
                context.tokenizer,
                config.sampling,
                num_samples=size,
                seed=derive_seed(context.seed, "rollout"),
                step=step,
                first_prompt_id=first_slot + mine.start,
            )
        with learner.timed("grade_seconds"):
            purpose = derive_seed(context.seed, "reward", step, first_slot)
            draws = np.random.default_rng(purpose).random(len(problems) * size).tolist()
            completions = grade(
                groups,
                context.tokenizer,
                context.grader,
                draws=draws[mine.start * size : mine.stop * size],
            )
    if world.size > 1:
        with learner.timed("gather_seconds"):
            completions = [item for part in world.gather(completions) for item in part]
    # A reward may look at all completions, and a reward of the user's own may be random: asked once.
    reward_B = torch.tensor(world.on_main(lambda: rewards_of(config, completions)), dtype=torch.float64)
    return Rollouts(completions, reward_B.view(len(problems), size), num_drawn=len(completions))


def with_signal(learner: Learner, config: PolicyGradientConfig, rollouts: Rollouts, *, step: int) -> Rollouts:
    """Replace groups that are all right or all wrong by others, drawn further in this step.

    DAPO (arXiv:2503.14476, eq. 11) asks how many answers are correct, not what they were paid: a
    penalty on length alone, or a bonus for a format, does not make a group worth keeping.
    """
    context, wanted = learner.context, len(rollouts.prompts)
    teaches_P = ~no_signal(rollouts.correct())
    taught = rollouts.groups(torch.nonzero(teaches_P).flatten().tolist())
    spare = rollouts.groups(torch.nonzero(~teaches_P).flatten().tolist())
    for draw in range(1, config.dynamic_sampling + 1):
        if len(taught.prompts) >= wanted:
            break
        indices = further_questions(context.seed, step, draw, wanted, len(context.problems))
        problems = [context.problems[i] for i in indices]
        further = collect(learner, config, problems, step=step, first_slot=draw * wanted)
        chosen = torch.nonzero(~no_signal(further.correct())).flatten().tolist()
        taught = taught.joined(further.groups(chosen))
    missing = wanted - len(taught.prompts)
    if missing > 0:
        drawn = taught.num_drawn
        taught = replace(taught.joined(spare.groups(range(missing))), num_drawn=drawn)
    return taught.groups(range(wanted))
