"""From a step number to graded, rewarded completions.

Everything here is a function of (seed, step) and the policy's weights: which
questions are asked, which random numbers sample their answers, and which number
a random reward gets.

Shape suffixes: P prompts, G samples per prompt, B = P x G completions, T response tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from echochamber.base import Problem, derive_seed
from echochamber.base.lazy import torch
from echochamber.rl.packing import Sample
from echochamber.rl.rewards import RewardConfig, rewards_of
from echochamber.rollout import Completion, grade, sample

if TYPE_CHECKING:
    from torch import Tensor

    from echochamber.rl.learner import Learner


@dataclass(frozen=True)
class Rollouts:
    """Rewarded completions, group by group.

    Attributes:
        completions: completion i belongs to prompt i // G.
        reward_PG: float64.
        num_drawn: number of completions sampled, including those that dynamic sampling dropped.
    """

    completions: list[Completion]
    reward_PG: Tensor
    num_drawn: int

    def groups(self, chosen: Sequence[int]) -> Rollouts:
        """The rollouts of the chosen prompts; `num_drawn` is unchanged."""
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
        """(P, G) float64: 1 for a correct answer by the grader, 0 for any other, whatever the reward was."""
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
        """(B, T) float32: the engine's log-probabilities of its tokens, 0 elsewhere."""
        mask_BT = self.mask()
        logp_BT = torch.zeros(mask_BT.shape)
        logp_N = np.concatenate([item.sampled.logprobs for item in self.completions])
        logp_BT[mask_BT] = torch.from_numpy(logp_N)
        return logp_BT


@lru_cache(maxsize=4)
def _order(seed: int, number: int, size: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng(derive_seed(seed, "question-order", number)).permutation(size)


def questions_of_step(seed: int, step: int, prompts_per_step: int, num_problems: int) -> list[int]:
    """Indices of the questions of a step: pass after pass over all problems, each pass in its own order."""
    places = range(step * prompts_per_step, (step + 1) * prompts_per_step)
    return [int(_order(seed, p // num_problems, num_problems)[p % num_problems]) for p in places]


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
    is the slot of the first problem, so that additional draws within a step differ.
    Each of several processes samples and grades its part, and all receive the whole.
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
    # A reward may look at all completions, and a user's own reward may be random, so it is called only once.
    reward_B = torch.tensor(world.on_main(lambda: rewards_of(config, completions)), dtype=torch.float64)
    return Rollouts(completions, reward_B.view(len(problems), size), num_drawn=len(completions))
