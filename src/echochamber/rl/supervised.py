"""Likelihood steps on prompt-completion pairs: the inner loop of Expert Iteration and of supervised tuning.

Shape suffixes: N response tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from echochamber.base import derive_seed
from echochamber.rl.batches import Microbatch, Sample, plan_microbatches
from echochamber.rl.config import RLConfig
from echochamber.rl.learner import Context, Learner
from echochamber.rl.policy import response_hidden
from echochamber.train import (
    LossSum,
    StepStats,
    learning_rate_at,
    linear_cross_entropy,
    make_optimizer,
    set_learning_rate,
    train_step,
)


@dataclass(frozen=True)
class Pair:
    """One document to imitate.

    Attributes:
        prompt: tokens that are read only.
        response: tokens that are learned, the end of text included.
    """

    prompt: tuple[int, ...]
    response: tuple[int, ...]


class SupervisedLearner(Learner):
    """Mean negative log-likelihood of response tokens, minimised batch by batch."""

    def __init__(self, config: RLConfig, batch_size: int, context: Context) -> None:
        super().__init__(context)
        self.tuning, self.batch_size = config, batch_size
        self.optimizers["policy"] = make_optimizer(context.policy, config.optimizer)

    def tune(self, pairs: Sequence[Pair], *, number: int, total: int, purpose: str, index: int) -> StepStats:
        """Update number `number` of `total` on the pairs, taken pass after pass in seeded orders.

        Raises:
            NonFiniteError: the loss or gradient is not finite; nothing was updated.
        """
        optimizer = self.optimizers["policy"]
        set_learning_rate(optimizer, learning_rate_at(number, self.tuning.optimizer, total))
        chosen = self.batch_of(len(pairs), number, purpose, index)
        mine = self.context.world.part(len(chosen))
        plan = self._plan([pairs[i] for i in chosen[mine]])
        return train_step(
            self.context.policy,
            optimizer,
            plan,
            self._loss,
            normalizer=float(sum(len(pairs[i].response) for i in chosen)),
            max_grad_norm=self.tuning.optimizer.clip,
            collective=self.context.collective,
        )

    def batch_of(self, num_pairs: int, number: int, purpose: str, index: int) -> list[int]:
        """Indices of the pairs of one batch."""
        orders: dict[int, np.ndarray[tuple[int], np.dtype[np.int64]]] = {}
        chosen = []
        for place in range(number * self.batch_size, (number + 1) * self.batch_size):
            part = place // num_pairs
            if part not in orders:
                seed = derive_seed(self.context.seed, purpose, index, part)
                orders[part] = np.random.default_rng(seed).permutation(num_pairs)
            chosen.append(int(orders[part][place % num_pairs]))
        return chosen

    def _plan(self, pairs: Sequence[Pair]) -> list[Microbatch]:
        prompts: dict[tuple[int, ...], int] = {}
        samples = [
            Sample(
                prompt=prompts.setdefault(pair.prompt, len(prompts)),
                token_ids=np.asarray(pair.response, dtype=np.int64),
            )
            for pair in pairs
        ]
        return plan_microbatches(
            list(prompts),
            samples,
            range(len(samples)),
            budget_tokens=self.context.microbatch_tokens(self.tuning.microbatch_tokens),
            device=self.context.device,
            width=self.context.policy.config.d_model,
        )

    def _loss(self, micro: Microbatch) -> LossSum:
        policy = self.context.policy
        with self.context.autocast():
            hidden_ND = response_hidden(policy, micro)
            return linear_cross_entropy(hidden_ND, policy.head_weight, micro.target_N)
