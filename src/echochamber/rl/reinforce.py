"""REINFORCE with a baseline: leave-one-out, and the group mean with batch normalization.

Shape suffixes: P prompts, G samples per prompt, B completions, T response tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pydantic import model_validator

from echochamber.base.lazy import torch
from echochamber.rl.config import register_algorithm
from echochamber.rl.grpo import group_advantages
from echochamber.rl.objectives import Aggregation, normalize_over_tokens
from echochamber.rl.policy_gradient import PolicyGradientLearner, RolloutBatch
from echochamber.rl.policy_gradient_config import PolicyGradientConfig

if TYPE_CHECKING:
    from torch import Tensor

    from echochamber.rl.learner import Context, Learner


class RLOOConfig(PolicyGradientConfig):
    """RLOO (Ahmadian et al. 2024, arXiv:2402.14740).

    Advantage: the reward, minus the completion's k1 KL, above the mean of the
    other samples; the log-probability of the whole completion is a sum over
    tokens. As published, there is no importance ratio; with several updates per
    rollout, the clipped ratio of each token corrects for the older policy.
    """

    algorithm: Literal["rloo"] = "rloo"
    kl_in: Literal["loss", "reward"] = "reward"
    kl_estimator: Literal["k1", "k2", "k3"] = "k1"
    aggregation: Aggregation = "sequence_sum"

    @model_validator(mode="after")
    def _has_groups(self) -> Self:
        self.require_groups()
        return self

    def learner(self, context: Context) -> Learner:
        """The RLOO learner."""
        return RLOOLearner(self, context)


class ReinforceBaselineConfig(PolicyGradientConfig):
    """REINFORCE++ with baseline (Hu et al. 2025, arXiv:2501.03262), the paper's `reinforce_baseline`.

    Advantage at a token: the reward minus the group's mean, minus the k1 KL of
    this and all later tokens, then normalized over all tokens of the rollout.

    Attributes:
        normalize_advantages: normalize to mean 0 and standard deviation 1 over all rollout tokens.
    """

    algorithm: Literal["reinforce_baseline"] = "reinforce_baseline"
    kl_in: Literal["loss", "reward"] = "reward"
    kl_estimator: Literal["k1", "k2", "k3"] = "k1"
    aggregation: Aggregation = "token_mean"
    normalize_advantages: bool = True

    @model_validator(mode="after")
    def _has_groups(self) -> Self:
        self.require_groups()
        return self

    def learner(self, context: Context) -> Learner:
        """The REINFORCE++ learner."""
        return ReinforceBaselineLearner(self, context)


def leave_one_out_advantages(reward_PG: Tensor) -> Tensor:
    """Reward above the mean of the *other* samples in its group.

    RLOO, Ahmadian et al. 2024 (arXiv:2402.14740). Equals G / (G - 1) times the reward above the group mean.

    Raises:
        ValueError: there is only one sample per group.
    """
    num_samples = reward_PG.shape[1]
    if num_samples < 2:
        raise ValueError("a leave-one-out baseline needs at least 2 samples per prompt")
    others_PG = (reward_PG.sum(dim=1, keepdim=True) - reward_PG) / (num_samples - 1)
    equal_P1 = (reward_PG == reward_PG[:, :1]).all(dim=1, keepdim=True)
    return torch.where(equal_P1, torch.zeros_like(reward_PG), reward_PG - others_PG)


def returns_to_go(reward_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Sum of the rewards of each token and of all later ones, 0 where masked."""
    running_B = torch.zeros_like(reward_BT[:, 0])
    columns = []
    for t in reversed(range(reward_BT.shape[1])):
        running_B = torch.where(mask_BT[:, t], reward_BT[:, t] + running_B, 0.0)
        columns.append(running_B)
    return torch.stack(columns[::-1], dim=1)


class RLOOLearner(PolicyGradientLearner):
    """Advantage: penalized reward above the mean of the other samples."""

    config: RLOOConfig

    def advantages(self, batch: RolloutBatch) -> Tensor:
        """(B, T), the same at every token of a completion."""
        return self.at_every_token(leave_one_out_advantages(self.penalized_rewards(batch)), batch)


class ReinforceBaselineLearner(PolicyGradientLearner):
    """Advantage: reward above the group's mean, minus future KL, normalized over the rollout."""

    config: ReinforceBaselineConfig

    def advantages(self, batch: RolloutBatch) -> Tensor:
        """(B, T)."""
        advantage_BT = self.at_every_token(group_advantages(batch.reward_PG, scale="none"), batch)
        kl_BT = self.kl_penalty(batch)
        if kl_BT is not None:
            advantage_BT = advantage_BT + returns_to_go(-kl_BT, batch.mask_BT)
        if not self.config.normalize_advantages:
            return advantage_BT
        return normalize_over_tokens(advantage_BT, batch.mask_BT)


register_algorithm("rloo", RLOOConfig)
register_algorithm("reinforce_baseline", ReinforceBaselineConfig)
