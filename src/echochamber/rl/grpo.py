"""Group relative policy optimization and the named members of its family: one learner, several settings.

Shape suffixes: P prompts, G samples per prompt, B completions, T response tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from echochamber.base.lazy import torch
from echochamber.rl.config import register_algorithm
from echochamber.rl.objectives import Aggregation, RatioLevel
from echochamber.rl.policy_gradient import PolicyGradientLearner, RolloutBatch
from echochamber.rl.policy_gradient_config import PolicyGradientConfig

if TYPE_CHECKING:
    from torch import Tensor

    from echochamber.rl.learner import Context, Learner

Scale = Literal["group_std", "batch_std", "none"]


class GroupConfig(PolicyGradientConfig):
    """The settings that the family shares.

    Attributes:
        advantage_scale: `group_std` divides by the group's standard deviation; `batch_std` by that of all
            rewards; `none` does not divide.
    """

    advantage_scale: Scale = "group_std"

    @model_validator(mode="after")
    def _has_groups(self) -> Self:
        self.require_groups()
        return self

    def learner(self, context: Context) -> Learner:
        """The learner of the whole family."""
        return GroupLearner(self, context)


class GRPOConfig(GroupConfig):
    """GRPO (Shao et al. 2024, arXiv:2402.03300): (r - mean) / (std + 1e-9), k3 as a loss, as in the paper."""

    algorithm: Literal["grpo"] = "grpo"


class DrGRPOConfig(GroupConfig):
    """Dr. GRPO (Liu et al. 2025, arXiv:2503.20783): no std, a constant instead of the length, no KL."""

    algorithm: Literal["dr_grpo"] = "dr_grpo"
    advantage_scale: Scale = "none"
    aggregation: Aggregation = "constant"
    kl_coefficient: float = Field(default=0.0, ge=0)


class DAPOConfig(GroupConfig):
    """DAPO (Yu et al. 2025, arXiv:2503.14476).

    Clip-higher, dynamic sampling, token mean, soft overlong punishment, no KL. Its 4,096 of 20,480
    tokens are the last fifth of `max_new_tokens`.
    """

    algorithm: Literal["dapo"] = "dapo"
    clip_high: float = Field(default=0.28, gt=0)
    aggregation: Aggregation = "token_mean"
    kl_coefficient: float = Field(default=0.0, ge=0)
    dynamic_sampling: int = Field(default=3, ge=0)
    soft_overlong_fraction: float = Field(default=0.2, ge=0, lt=1)


class GSPOConfig(GroupConfig):
    """GSPO (Zheng et al. 2025, arXiv:2507.18071): the ratio of whole completions, narrow clips, no KL."""

    algorithm: Literal["gspo"] = "gspo"
    ratio: RatioLevel = "sequence_mean"
    clip_low: float = Field(default=3e-4, gt=0, lt=1)
    clip_high: float = Field(default=4e-4, gt=0)
    kl_coefficient: float = Field(default=0.0, ge=0)


def group_advantages(reward_PG: Tensor, *, scale: Scale = "group_std", epsilon: float = 1e-9) -> Tensor:
    """Reward above the mean of its group, optionally divided by a standard deviation.

    GRPO (arXiv:2402.03300, sec. 4.1.2): (r - mean) / (std + epsilon), std of
    the group with G - 1 in the denominator and epsilon 1e-9 as in the paper's
    code; Dr. GRPO (arXiv:2503.20783) omits the division (`none`);
    `batch_std` divides by the std of all rewards. A group of equal rewards
    gives exactly 0, however its mean is rounded.

    Raises:
        ValueError: there is only one sample per group, which has no baseline.
    """
    if reward_PG.shape[1] < 2:
        raise ValueError("a group baseline needs at least 2 samples per prompt")
    centered_PG = reward_PG - reward_PG.mean(dim=1, keepdim=True)
    equal_P1 = (reward_PG == reward_PG[:, :1]).all(dim=1, keepdim=True)
    centered_PG = torch.where(equal_P1, torch.zeros_like(centered_PG), centered_PG)
    if scale == "group_std":
        return centered_PG / (reward_PG.std(dim=1, keepdim=True) + epsilon)
    if scale == "batch_std":
        return centered_PG / (reward_PG.std() + epsilon)
    return centered_PG


class GroupLearner(PolicyGradientLearner):
    """Advantage of a completion: its reward relative to its group, the same at every token."""

    config: GroupConfig

    def advantages(self, batch: RolloutBatch) -> Tensor:
        """(B, T): the group advantage of the reward, minus the completion's KL if KL is in the reward."""
        reward_PG = self.penalized_rewards(batch)
        return self.at_every_token(group_advantages(reward_PG, scale=self.config.advantage_scale), batch)


register_algorithm("grpo", GRPOConfig)
register_algorithm("dr_grpo", DrGRPOConfig)
register_algorithm("dapo", DAPOConfig)
register_algorithm("gspo", GSPOConfig)
