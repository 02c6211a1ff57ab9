"""Group relative policy optimisation and the named members of its family, as switches of one config."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator
from torch import Tensor

from echochamber.rl.advantages import Scale, group_advantages
from echochamber.rl.config import PolicyGradientConfig, register_algorithm
from echochamber.rl.learner import Context, Learner
from echochamber.rl.policy_gradient import Batch, PolicyGradientLearner


class GRPOConfig(PolicyGradientConfig):
    """GRPO (Shao et al. 2024, arXiv:2402.03300) as the paper ran it: (r - mean) / (std + 1e-9), k3 as a loss.

    Attributes:
        advantage_scale: `group_std` divides by the group's standard deviation; `batch_std` by that of all
            rewards; `none` does not divide (Dr. GRPO).
    """

    algorithm: Literal["grpo"] = "grpo"
    advantage_scale: Scale = "group_std"

    @model_validator(mode="after")
    def _has_groups(self) -> Self:
        if self.samples_per_prompt < 2:
            raise ValueError(
                f"samples_per_prompt {self.samples_per_prompt}: a group of one has no mean to compare with; "
                "use at least 2"
            )
        return self

    def learner(self, context: Context) -> Learner:
        """The GRPO learner."""
        return GroupLearner(self, context)


class GroupLearner(PolicyGradientLearner):
    """Advantage of a completion: its reward relative to its group, the same at every token."""

    config: GRPOConfig

    def advantages(self, batch: Batch) -> Tensor:
        """(B, T): the group advantage, less the KL still to come if KL is in the reward."""
        advantage_PG = group_advantages(batch.reward_PG, scale=self.config.advantage_scale)
        advantage_B1 = advantage_PG.flatten()[:, None].to(batch.old_logp_BT.dtype)
        advantage_BT = advantage_B1.expand_as(batch.old_logp_BT)
        return advantage_BT + self.kl_returns(batch)


register_algorithm("grpo", GRPOConfig)
