"""Proximal policy optimization with a critic.

Shape suffixes: B completions of the rollout, b of a microbatch, T and N response tokens, D width.
A completion occupies the first tokens of its row; mask_BT is True there.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from echochamber import model, train
from echochamber.base import derive_seed
from echochamber.base.lazy import torch
from echochamber.model import num_parameters
from echochamber.rl import objectives as obj
from echochamber.rl.config import PAPER_OPTIMIZER, register_algorithm
from echochamber.rl.microbatches import response_hidden
from echochamber.rl.objectives import Aggregation, keep, normalize_over_tokens
from echochamber.rl.policy_gradient import PolicyGradientLearner, RolloutBatch, Stats
from echochamber.rl.policy_gradient_config import PolicyGradientConfig
from echochamber.rl.step_metrics import pooled
from echochamber.train import OptimizerConfig, kept_bytes, make_optimizer

if TYPE_CHECKING:
    from torch import Tensor

    from echochamber.model import ModelConfig
    from echochamber.rl.learner import Context, Learner
    from echochamber.rl.microbatches import Microbatch, TokenOutputs
    from echochamber.train import LossSum, StepStats


class PPOConfig(PolicyGradientConfig):
    """PPO (Schulman et al. 2017, arXiv:1707.06347) as the paper ran it.

    A critic initialized from the policy with learning rate 7e-6, gamma 1, GAE
    lambda 0.95, clip 0.2, value clip 0.2, k1 in the per-token reward,
    advantages normalized over all rollout tokens, 8 updates per rollout.

    Attributes:
        gamma: discount factor per token.
        gae_lambda: 1 is the Monte Carlo return, 0 the one-step difference (arXiv:1506.02438).
        normalize_advantages: normalize to mean 0 and standard deviation 1 over all rollout tokens.
        critic: `own` is a copy of the policy with a value head; `shared` a value head on the policy itself.
        critic_optimizer: optimizer of the `own` critic.
        value_clip: how far a value may move from its value at rollout time; None does not clip.
        value_coefficient: weight of the value loss relative to the policy's in a `shared` network.
        critic_warmup_steps: number of first steps in which only the `own` critic learns.
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
        # A resolved study spells out every default, so only values other than the default were chosen.
        own_only, shared_only = ("critic_optimizer", "critic_warmup_steps"), ("value_coefficient",)
        for name in own_only if self.critic == "shared" else shared_only:
            if getattr(self, name) != type(self).model_fields[name].default:
                other = "own" if self.critic == "shared" else "shared"
                raise ValueError(
                    f"{name} has no effect with critic: {self.critic}; remove it, or use critic: {other}"
                )
        if self.critic_warmup_steps >= self.steps:
            raise ValueError(
                f"critic_warmup_steps {self.critic_warmup_steps} leaves none of the {self.steps} steps for "
                "the policy; lower it"
            )
        return self

    def gpu_bytes(self, shape: ModelConfig, *, num_processes: int = 1) -> dict[str, float]:
        """Also the weights and moments of an `own` critic, which is the trunk and a value head."""
        parts = super().gpu_bytes(shape, num_processes=num_processes)
        if self.critic == "own":
            head = 0 if shape.tied_embeddings else shape.vocab_size * shape.d_model
            parameters = num_parameters(shape) - head + shape.d_model + 1
            parts |= {f"critic: {name}": size for name, size in kept_bytes(parameters).items()}
        return parts

    def learner(self, context: Context) -> Learner:
        """The PPO learner."""
        return PPOLearner(self, context)


def token_rewards(reward_B: Tensor, penalty_BT: Tensor | None, mask_BT: Tensor) -> Tensor:
    """Reward of each token: the completion's reward on its last token, minus the KL penalty on all tokens.

    Stiennon et al. 2020 / Ouyang et al. 2022; the paper's PPO (KL inside the per-token reward).
    A completion without tokens has none to carry its reward and is dropped.
    """
    reward_BT = torch.zeros(mask_BT.shape, dtype=reward_B.dtype, device=reward_B.device)
    last_B = mask_BT.sum(dim=1) - 1
    rows_B = torch.nonzero(last_B >= 0).squeeze(1)
    reward_BT[rows_B, last_B[rows_B]] = reward_B[rows_B]
    if penalty_BT is not None:
        reward_BT = reward_BT - keep(penalty_BT, mask_BT)
    return reward_BT


def gae(
    reward_BT: Tensor, value_BT: Tensor, mask_BT: Tensor, *, gamma: float = 1.0, lam: float = 0.95
) -> tuple[Tensor, Tensor]:
    """Generalized advantage estimation (Schulman et al. 2016, arXiv:1506.02438, eq. 16).

    A_t = sum_k (gamma * lam)^k delta_{t+k}, delta_t = r_t + gamma V_{t+1} - V_t,
    V = 0 after the last token, whether the completion ended by itself or was cut off.

    Returns:
        (advantage_BT, return_BT), return = advantage + value; 0 where masked.
    """
    value_BT = torch.where(mask_BT, value_BT, torch.zeros_like(value_BT))
    reward_BT = torch.where(mask_BT, reward_BT, torch.zeros_like(reward_BT))
    next_value_BT = torch.cat([value_BT[:, 1:], torch.zeros_like(value_BT[:, :1])], dim=1)
    delta_BT = reward_BT + gamma * next_value_BT - value_BT
    running_B = torch.zeros_like(delta_BT[:, 0])
    columns = []
    for t in reversed(range(delta_BT.shape[1])):
        running_B = torch.where(mask_BT[:, t], delta_BT[:, t] + gamma * lam * running_B, running_B * 0)
        columns.append(running_B)
    advantage_BT = torch.stack(columns[::-1], dim=1)
    return advantage_BT, torch.where(mask_BT, advantage_BT + value_BT, torch.zeros_like(value_BT))


def clipped_value_loss(
    value_BT: Tensor, old_value_BT: Tensor, return_BT: Tensor, mask_BT: Tensor, *, clip: float | None = 0.2
) -> tuple[Tensor, Tensor]:
    """Half the squared error of the value at each token, and where the clip is active.

    0.5 * max((v - R)^2, (v_clipped - R)^2), v_clipped within `clip` of the
    value at rollout time (Schulman et al.'s reference code; the paper uses
    clip 0.2). `clip=None` is the plain squared error.

    Returns:
        (loss_BT, clipped_BT).
    """
    value_BT, old_value_BT = keep(value_BT, mask_BT), keep(old_value_BT, mask_BT)
    return_BT = keep(return_BT, mask_BT)
    plain_BT = (value_BT - return_BT).square()
    if clip is None:
        return plain_BT / 2, torch.zeros_like(mask_BT)
    bounded_BT = torch.clamp(value_BT, old_value_BT - clip, old_value_BT + clip)
    bounded_loss_BT = (bounded_BT - return_BT).square()
    clipped_BT = mask_BT & (bounded_loss_BT.detach() > plain_BT.detach())
    return torch.maximum(plain_BT, bounded_loss_BT) / 2, clipped_BT


def explained_variance(value_BT: Tensor, return_BT: Tensor, mask_BT: Tensor) -> float:
    """1 - Var(return - value) / Var(return) over the mask; NaN when the returns do not vary."""
    residual = (return_BT - value_BT)[mask_BT].cpu().double()
    target = return_BT[mask_BT].cpu().double()
    variance = target.var(correction=0)
    if target.numel() == 0 or float(variance) == 0.0:
        return float("nan")
    return float(1 - residual.var(correction=0) / variance)


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
            critic = model.ValueModel(copy.deepcopy(context.policy), seed=seed).to(context.device, dtype)
            self.trunk, self.head = critic.trunk, critic.head
            self.modules["critic"] = critic
            self.optimizers["critic"] = make_optimizer(critic, config.critic_optimizer)
        else:
            self.trunk = context.policy
            self.head = model.ValueHead(context.policy.config.d_model, seed=seed).to(context.device, dtype)
            self.modules["critic"] = self.head
            self.trained = torch.nn.ModuleList([context.policy, self.head])
            self.optimizers["policy"] = make_optimizer(self.trained, config.optimizer)

    def needs_scores(self) -> bool:
        """Values are needed before the updates, and the old log-probabilities with them."""
        return True

    def score(self, batch: RolloutBatch, plan: Sequence[Microbatch]) -> None:
        """Log-probabilities, then the value before each token."""
        super().score(batch, plan)
        value_BT = torch.zeros_like(batch.old_logp_BT)
        with torch.no_grad():
            for micro in plan:
                batch.put(value_BT, micro, self.head(self.hidden(micro)))
        batch.value_BT = self.context.world.sum(value_BT)

    def hidden(self, micro: Microbatch) -> Tensor:
        """hidden_ND of the critic's network, in at least float32, as the values are."""
        with self.context.autocast():
            return response_hidden(self.trunk, micro)

    def advantages(self, batch: RolloutBatch) -> Tensor:
        """(B, T): GAE of the per-token rewards; fills `batch.return_BT`, the targets of the values."""
        config = self.config
        assert batch.value_BT is not None
        reward_BT = token_rewards(
            batch.reward_PG.flatten().to(batch.old_logp_BT), self.kl_penalty(batch), batch.mask_BT
        )
        advantage_BT, batch.return_BT = gae(
            reward_BT, batch.value_BT, batch.mask_BT, gamma=config.gamma, lam=config.gae_lambda
        )
        if not config.normalize_advantages:
            return advantage_BT
        return normalize_over_tokens(advantage_BT, batch.mask_BT)

    def update_all(self, step: int, batch: RolloutBatch, plans: Sequence[Sequence[Microbatch]]) -> Stats:
        """Policy, then critic, on each minibatch; only the critic during its warm-up."""
        stats: Stats = {"policy": [], "critic": []}
        for number, plan in enumerate(plans, start=step * self.config.updates_per_step):
            if step >= self.config.critic_warmup_steps:
                stats["policy"].append(self.update(number, batch, plan))
            if self.config.critic == "own":
                stats["critic"].append(self.update_critic(number, batch, plan))
        return stats

    def update_critic(self, number: int, batch: RolloutBatch, plan: Sequence[Microbatch]) -> StepStats:
        """One optimizer step of the critic's own network."""
        config = self.config
        return train.optimizer_step(
            self.modules["critic"],
            self.optimizers["critic"],
            config.critic_optimizer,
            plan,
            lambda micro: self.value_loss(batch, micro, self.hidden(micro)),
            number=number,
            total=config.steps * config.updates_per_step,
            normalizer=self.normalizer(batch, plan),
            collective=self.context.collective,
        )

    def value_loss(self, batch: RolloutBatch, micro: Microbatch, hidden_ND: Tensor) -> LossSum:
        """Clipped squared error of the values of one microbatch."""
        mask_bT = batch.take(batch.trained_BT, micro)
        value_bT = micro.to_grid(self.head(hidden_ND))
        loss_bT, clipped_bT = clipped_value_loss(
            value_bT,
            batch.take(batch.value_BT, micro),
            batch.take(batch.return_BT, micro),
            mask_bT,
            clip=self.config.value_clip,
        )
        weight_bT = obj.token_weights(mask_bT, self.config.aggregation, value_bT.dtype)
        return train.LossSum(
            obj.weighted_sum(loss_bT, weight_bT, mask_bT),
            {
                "value_tokens": mask_bT.sum(),
                "value_error": keep(loss_bT, mask_bT).sum(),
                "value_clipped": clipped_bT.sum(),
            },
        )

    def loss(self, batch: RolloutBatch, micro: Microbatch, outputs: TokenOutputs) -> LossSum:
        """The policy's loss, plus the value loss in a shared network."""
        policy = super().loss(batch, micro, outputs)
        if self.config.critic == "own":
            return policy
        value = self.value_loss(batch, micro, outputs.hidden_ND)
        return train.LossSum(
            policy.total + self.config.value_coefficient * value.total, {**policy.metrics, **value.metrics}
        )

    def row(self, batch: RolloutBatch, stats: Mapping[str, Sequence[StepStats]]) -> dict[str, Any]:
        """The metrics that all policy gradients share, and those of the critic."""
        critic = stats["critic"]
        sums = pooled([item.metrics for item in critic or stats["policy"]])
        tokens = max(sums["value_tokens"], 1.0)
        assert batch.value_BT is not None and batch.return_BT is not None
        row = {
            **super().row(batch, stats),
            "value_loss": sums["value_error"] / tokens,
            "value_clip_fraction": sums["value_clipped"] / tokens,
            "value_mean": float(batch.value_BT[batch.mask_BT].mean()),
            "explained_variance": explained_variance(batch.value_BT, batch.return_BT, batch.mask_BT),
        }
        if critic:
            row["critic_grad_norm"] = sum(item.grad_norm for item in critic) / len(critic)
        return row


register_algorithm("ppo", PPOConfig)
