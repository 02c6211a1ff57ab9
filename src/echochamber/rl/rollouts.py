"""From a step number to graded, rewarded completions.

Everything here is a function of (seed, step) and the policy's weights: which
questions are asked, which random numbers sample their answers, which draw a
random reward gets.

Shape suffixes: P prompts, G samples a prompt, B = P x G completions, T response tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from echochamber.base import InputError, Problem, derive_seed
from echochamber.rl.batches import Sample
from echochamber.rl.config import RewardConfig
from echochamber.rl.learner import Learner
from echochamber.rl.rewards import REWARDS, Graded
from echochamber.rollout import Completion
from echochamber.verify import Verdict


@dataclass(frozen=True)
class Rollouts:
    """Graded completions, prompt by prompt.

    Attributes:
        prompts: token ids of each prompt.
        completions: what the engine returned; completion i belongs to prompt i // G.
        graded: the same in the same order, with text and verdict.
        reward_PG: float64.
        num_drawn: completions sampled for it, those that dynamic sampling dropped included.
    """

    prompts: list[list[int]]
    completions: list[Completion]
    graded: list[Graded]
    reward_PG: Tensor
    num_drawn: int

    def groups(self, chosen: Sequence[int]) -> Rollouts:
        """The rollouts of the chosen prompts; `num_drawn` stays."""
        size = self.num_samples
        members = [prompt * size + g for prompt in chosen for g in range(size)]
        return Rollouts(
            prompts=[self.prompts[prompt] for prompt in chosen],
            completions=[self.completions[i] for i in members],
            graded=[self.graded[i] for i in members],
            reward_PG=self.reward_PG[list(chosen)],
            num_drawn=self.num_drawn,
        )

    def joined(self, other: Rollouts) -> Rollouts:
        """These prompts, then the other's."""
        return Rollouts(
            prompts=self.prompts + other.prompts,
            completions=self.completions + other.completions,
            graded=self.graded + other.graded,
            reward_PG=torch.cat([self.reward_PG, other.reward_PG]),
            num_drawn=self.num_drawn + other.num_drawn,
        )

    @property
    def num_samples(self) -> int:
        """Completions of each prompt."""
        return int(self.reward_PG.shape[1])

    def correct(self) -> Tensor:
        """What the grader found: 1 for a correct answer, 0 for any other, whatever it was paid; float64."""
        right_B = [item.verdict.reward for item in self.graded]
        return torch.tensor(right_B, dtype=torch.float64).view_as(self.reward_PG)

    def samples(self) -> list[Sample]:
        """The completions as the trainer sees them."""
        return [
            Sample(
                prompt=index // self.num_samples,
                token_ids=item.token_ids.astype(np.int64),
                kept=None if item.nucleus is None else (item.nucleus.offsets, item.nucleus.ids),
            )
            for index, item in enumerate(self.completions)
        ]

    def mask(self) -> Tensor:
        """(B, T): True on sampled tokens."""
        lengths_B = torch.tensor([len(item.token_ids) for item in self.completions])
        return torch.arange(int(lengths_B.max())) < lengths_B[:, None]

    def rollout_logp(self) -> Tensor:
        """(B, T) float32: what the engine said its tokens' log-probabilities were, 0 elsewhere."""
        mask_BT = self.mask()
        logp_BT = torch.zeros(mask_BT.shape)
        logp_BT[mask_BT] = torch.from_numpy(np.concatenate([item.logprobs for item in self.completions]))
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


def rewards_of(config: RewardConfig, graded: Sequence[Graded]) -> list[float]:
    """The configured reward of each completion, with bonus and penalty.

    Raises:
        InputError: the reward gave another number of values than there are completions, or one that is
            not finite.
    """
    paid = [float(value) for value in REWARDS.get(config.reward)(graded)]
    if len(paid) != len(graded):
        raise InputError(
            f"the reward '{config.reward}' returned {len(paid)} values for {len(graded)} completions; "
            "it must return one for each, in order"
        )
    bad = next((i for i, value in enumerate(paid) if not math.isfinite(value)), None)
    if bad is not None:
        raise InputError(
            f"the reward '{config.reward}' returned {paid[bad]} for the completion "
            f"{graded[bad].completion[:80]!r}; it must return finite numbers"
        )
    return [
        value
        + config.format_bonus.get(item.verdict.format, 0.0)
        - config.length_penalty * item.num_tokens / config.max_new_tokens
        - _overlong(item.num_tokens, config)
        for value, item in zip(paid, graded, strict=True)
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
    """Sample, decode, grade and reward `samples_per_prompt` completions of each problem.

    Random numbers depend on (seed, step, slot, sample, position); `first_slot`
    is the slot of the first problem, so that further draws within a step differ.
    Of several processes each samples and grades its part; all get the whole.
    """
    context, world = learner.context, learner.context.world
    prompts = context.tokenizer.encode_prompts([problem.question for problem in problems])
    mine = world.part(len(prompts))
    completions: list[Completion] = []
    graded: list[Graded] = []
    if mine.stop > mine.start:
        with learner.timed("rollout_seconds"):
            nested = context.engine.generate(
                prompts[mine],
                config.sampling,
                num_samples=config.samples_per_prompt,
                seed=derive_seed(context.seed, "rollout"),
                step=step,
                prompt_ids=range(first_slot + mine.start, first_slot + mine.stop),
            )
            completions = [completion for group in nested for completion in group]
        with learner.timed("grade_seconds"):
            size = config.samples_per_prompt
            purpose = derive_seed(context.seed, "reward", step, first_slot)
            draws = np.random.default_rng(purpose).random(len(prompts) * size)
            graded = _grade(
                learner, config, problems[mine], completions, draws[mine.start * size : mine.stop * size]
            )
    if world.size > 1:
        with learner.timed("gather_seconds"):
            parts = world.gather((completions, graded))
            completions = [item for part, _ in parts for item in part]
            graded = [item for _, part in parts for item in part]
    # A reward may look at all completions, and a reward of the user's own may be random: asked once.
    reward_B = torch.tensor(world.on_main(lambda: rewards_of(config, graded)), dtype=torch.float64)
    return Rollouts(
        prompts=[list(ids) for ids in prompts],
        completions=completions,
        graded=graded,
        reward_PG=reward_B.view(len(prompts), config.samples_per_prompt),
        num_drawn=len(completions),
    )


def _grade(
    learner: Learner,
    config: RewardConfig,
    problems: Sequence[Problem],
    completions: Sequence[Completion],
    draws: npt.NDArray[np.float64],
) -> list[Graded]:
    context = learner.context
    texts = context.tokenizer.decode_batch([item.token_ids.tolist() for item in completions])
    asked = [problem for problem in problems for _ in range(config.samples_per_prompt)]
    cut = [item.finish_reason == "length" for item in completions]
    verdicts: dict[int, Verdict] = {}
    for rules in sorted({problem.rules for problem in asked}):
        chosen = [i for i, problem in enumerate(asked) if problem.rules == rules]
        found = context.grader.grade(
            [texts[i] for i in chosen],
            [asked[i].gold for i in chosen],
            rules=rules,
            truncated=[cut[i] for i in chosen],
        )
        verdicts.update(zip(chosen, found, strict=True))
    return [
        Graded(
            problem=asked[i],
            completion=texts[i],
            verdict=verdicts[i],
            num_tokens=len(completions[i].token_ids),
            truncated=cut[i],
            draw=float(draws[i]),
        )
        for i in range(len(asked))
    ]
