"""Group relative policy optimisation and the named members of its family: one learner, several switches."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator
from torch import Tensor

from echochamber.rl.advantages import Scale, group_advantages
from echochamber.rl.config import PolicyGradientConfig, register_algorithm
from echochamber.rl.learner import Context, Learner
from echochamber.rl.objectives import Aggregation, RatioLevel
from echochamber.rl.policy_gradient import Batch, PolicyGradientLearner


class GroupConfig(PolicyGradientConfig):
    """What the family shares.

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
    """Dr. GRPO (Liu et al. 2025, arXiv:2503.20783): no std, a constant in place of the length, no KL."""

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


class GroupLearner(PolicyGradientLearner):
    """Advantage of a completion: its reward relative to its group, the same at every token."""

    config: GroupConfig

    def advantages(self, batch: Batch) -> Tensor:
        """(B, T): the group advantage of the reward, less the completion's KL if that is in the reward."""
        rewards_PG = self.penalised_rewards(batch)
        return self.at_every_token(group_advantages(rewards_PG, scale=self.config.advantage_scale), batch)


register_algorithm("grpo", GRPOConfig)
register_algorithm("dr_grpo", DrGRPOConfig)
register_algorithm("dapo", DAPOConfig)
register_algorithm("gspo", GSPOConfig)
