"""Proximal policy optimisation with a critic.

Shape suffixes: B completions of the rollout, b of a microbatch, T and N response tokens, D width.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from echochamber.base import derive_seed
from echochamber.model import ValueHead, ValueModel
from echochamber.rl import objectives as obj
from echochamber.rl.advantages import explained_variance, gae, normalize_over_tokens, token_rewards
from echochamber.rl.batches import Microbatch
from echochamber.rl.config import PAPER_OPTIMIZER, PolicyGradientConfig, register_algorithm
from echochamber.rl.dynamics import pooled
from echochamber.rl.learner import Context, Learner
from echochamber.rl.objectives import Aggregation
from echochamber.rl.policy import response_hidden
from echochamber.rl.policy_gradient import Batch, PolicyGradientLearner
from echochamber.train import (
    LossSum,
    OptimizerConfig,
    StepStats,
    learning_rate_at,
    make_optimizer,
    set_learning_rate,
    train_step,
)


class PPOConfig(PolicyGradientConfig):
    """PPO (Schulman et al. 2017, arXiv:1707.06347) as the paper ran it.

    Critic learning rate 7e-6 and initialised from the policy, gamma 1, GAE
    lambda 0.95, clip 0.2, value clip 0.2, k1 in the per-token reward,
    advantages normalised over all rollout tokens, 8 updates a rollout.

    Attributes:
        gamma: discount of a token's reward for each token before it.
        gae_lambda: 1 is the Monte Carlo return, 0 the one-step difference (arXiv:1506.02438).
        normalize_advantages: to mean 0 and standard deviation 1 over all rollout tokens.
        critic: `own` is a copy of the policy with a value head; `shared` a value head on the policy itself.
        critic_optimizer: of the `own` critic.
        value_clip: the value may move this far from its value at rollout time; None does not clip.
        value_coefficient: weight of the value loss beside the policy's in a `shared` network.
        critic_warmup_steps: first steps, in which only the `own` critic learns.
    """

    algorithm: Literal["ppo"] = "ppo"
    kl_in: Literal["loss", "reward"] = "reward"
    kl_estimator: Literal["k1", "k2", "k3"] = "k1"
    aggregation: Aggregation = "token_mean"
    gamma: float = Field(default=1.0, ge=0, le=1)
    gae_lambda: float = Field(default=0.95, ge=0, le=1)
    normalize_advantages: bool = True
    critic: Literal["own", "shared"] = "own"
    critic_optimizer: OptimizerConfig = PAPER_OPTIMIZER.model_copy(update={"learning_rate": 7e-6})
    value_clip: float | None = Field(default=0.2, gt=0)
    value_coefficient: float = Field(default=0.5, gt=0)
    critic_warmup_steps: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _critic_options_agree(self) -> Self:
        # A resolved study spells out every default, so only values that differ from it were chosen.
        own_only, shared_only = ("critic_optimizer", "critic_warmup_steps"), ("value_coefficient",)
        for name in own_only if self.critic == "shared" else shared_only:
            if getattr(self, name) != type(self).model_fields[name].default:
                other = "own" if self.critic == "shared" else "shared"
                raise ValueError(
                    f"{name} has no effect with critic: {self.critic}; remove it, or use critic: {other}"
                )
        if self.critic_warmup_steps >= self.steps:
            raise ValueError(
                f"critic_warmup_steps {self.critic_warmup_steps} leaves none of the {self.steps} steps to "
                "the policy; lower it"
            )
        return self

    def learner(self, context: Context) -> Learner:
        """The PPO learner."""
        return PPOLearner(self, context)


class PPOLearner(PolicyGradientLearner):
    """Actor and critic on each rollout.

    Attributes:
        head: value head, on the trunk.
        trunk: the critic's network; the policy itself if shared.
    """

    config: PPOConfig

    def __init__(self, config: PPOConfig, context: Context) -> None:
        super().__init__(config, context)
        seed = derive_seed(context.seed, "critic")
        dtype = next(context.policy.parameters()).dtype
        if config.critic == "own":
            critic = ValueModel(copy.deepcopy(context.policy), seed=seed).to(context.device, dtype)
            self.trunk, self.head = critic.trunk, critic.head
            self.modules["critic"] = critic
            self.optimizers["critic"] = make_optimizer(critic, config.critic_optimizer)
        else:
            self.trunk = context.policy
            self.head = ValueHead(context.policy.config.d_model, seed=seed).to(context.device, dtype)
            self.modules["critic"] = self.head
            self.trained = nn.ModuleList([context.policy, self.head])
            self.optimizers["policy"] = make_optimizer(self.trained, config.optimizer)
        self.value_BT = self.return_BT = torch.zeros(0)
        self.value_stats: list[StepStats] = []

    def needs_scores(self) -> bool:
        """Values are needed before the updates, and the old log-probabilities with them."""
        return True

    @torch.no_grad()
    def score(self, batch: Batch, plan: Sequence[Microbatch]) -> None:
        """Log-probabilities, then the value before each token."""
        super().score(batch, plan)
        self.value_BT = torch.zeros_like(batch.old_logp_BT)
        for micro in plan:
            batch.put(self.value_BT, micro, self.head(self.hidden(micro)))
        self.value_BT = self.context.world.sum(self.value_BT)

    def hidden(self, micro: Microbatch) -> Tensor:
        """hidden_ND of the critic's network; in float32 at least, as values are."""
        with self.context.autocast():
            return response_hidden(self.trunk, micro)

    def advantages(self, batch: Batch) -> Tensor:
        """(B, T): GAE of the per-token rewards."""
        config = self.config
        reward_BT = token_rewards(
            batch.reward_PG.flatten().to(batch.old_logp_BT),
            self.kl_penalty(batch),
            batch.mask_BT,
            kl_coefficient=1.0,
        )
        advantage_BT, self.return_BT = gae(
            reward_BT, self.value_BT, batch.mask_BT, gamma=config.gamma, lam=config.gae_lambda
        )
        self.value_stats = []
        if not config.normalize_advantages:
            return advantage_BT
        return normalize_over_tokens(advantage_BT, batch.mask_BT)

    def update_all(
        self, step: int, batch: Batch, advantage_BT: Tensor, plans: Sequence[Sequence[Microbatch]]
    ) -> list[StepStats]:
        """Policy, then critic, on each minibatch; the critic alone while it warms up."""
        stats = []
        for index, plan in enumerate(plans):
            if step >= self.config.critic_warmup_steps:
                stats.append(self.update(step, index, batch, advantage_BT, plan))
            if self.config.critic == "own":
                self.value_stats.append(self.update_critic(step, index, batch, plan))
        return stats

    def update_critic(self, step: int, index: int, batch: Batch, plan: Sequence[Microbatch]) -> StepStats:
        """One optimiser step of the critic's own network."""
        config = self.config
        number, total = step * config.updates_per_step + index, config.steps * config.updates_per_step
        optimizer = self.optimizers["critic"]
        set_learning_rate(optimizer, learning_rate_at(number, config.critic_optimizer, total))
        return train_step(
            self.modules["critic"],
            optimizer,
            plan,
            lambda micro: self.value_loss(batch, micro, self.hidden(micro)),
            normalizer=self.normalizer(batch, plan),
            max_grad_norm=config.critic_optimizer.clip,
            collective=self.context.collective,
        )

    def value_loss(self, batch: Batch, micro: Microbatch, hidden_ND: Tensor) -> LossSum:
        """Clipped squared error of the values of one microbatch."""
        mask_bT = batch.take(batch.trained_BT, micro)
        value_bT = micro.to_grid(self.head(hidden_ND))
        loss_bT, clipped_bT = obj.clipped_value_loss(
            value_bT,
            batch.take(self.value_BT, micro),
            batch.take(self.return_BT, micro),
            mask_bT,
            clip=self.config.value_clip,
        )
        weight_bT = obj.token_weights(mask_bT, self.config.aggregation, value_bT.dtype)
        total = obj.weighted_sum(loss_bT, weight_bT, mask_bT)
        return LossSum(
            total,
            {
                "value_tokens": mask_bT.sum(),
                "value_error": obj.keep(loss_bT, mask_bT).sum(),
                "value_clipped": clipped_bT.sum(),
            },
        )

    def loss(self, batch: Batch, advantage_BT: Tensor, micro: Microbatch) -> LossSum:
        """The policy's loss, with the value's beside it in a shared network."""
        if self.config.critic == "own":
            return super().loss(batch, advantage_BT, micro)
        outputs = self.outputs(self.policy, micro)
        policy = self.policy_loss(batch, advantage_BT, micro, outputs)
        value = self.value_loss(batch, micro, outputs.hidden_ND)
        return LossSum(
            policy.total + self.config.value_coefficient * value.total, {**policy.metrics, **value.metrics}
        )

    def row(self, batch: Batch, stats: Sequence[StepStats]) -> dict[str, Any]:
        """The shared metrics and the critic's."""
        sums = pooled([item.metrics for item in (self.value_stats or stats)])
        tokens = max(sums["value_tokens"], 1.0)
        row = {
            **super().row(batch, stats),
            "value_loss": sums["value_error"] / tokens,
            "value_clip_fraction": sums["value_clipped"] / tokens,
            "value_mean": float(self.value_BT[batch.mask_BT].mean()),
            "explained_variance": explained_variance(self.value_BT, self.return_BT, batch.mask_BT),
        }
        if self.value_stats:
            row["critic_grad_norm"] = sum(s.grad_norm for s in self.value_stats) / len(self.value_stats)
        return row


register_algorithm("ppo", PPOConfig)
