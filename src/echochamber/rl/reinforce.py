"""REINFORCE with a baseline: leave-one-out, and the group mean with batch normalisation."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator
from torch import Tensor

from echochamber.rl.advantages import group_advantages, leave_one_out_advantages, normalize_over_tokens
from echochamber.rl.config import PolicyGradientConfig, register_algorithm
from echochamber.rl.learner import Context, Learner
from echochamber.rl.objectives import Aggregation
from echochamber.rl.policy_gradient import Batch, PolicyGradientLearner


class RLOOConfig(PolicyGradientConfig):
    """RLOO (Ahmadian et al. 2024, arXiv:2402.14740).

    Advantage: the reward, less the completion's k1 KL, above the mean of the
    other samples; the log-probability of the whole completion is a sum over
    tokens. As published there is no importance ratio; with several updates a
    rollout the clipped ratio of each token corrects for the older policy.
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

    Advantage at a token: reward less the group's mean, less the k1 KL still to
    come, then normalised over all tokens of the rollout.

    Attributes:
        normalize_advantages: to mean 0 and standard deviation 1 over all rollout tokens.
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


class RLOOLearner(PolicyGradientLearner):
    """Advantage: penalised reward above the mean of the other samples."""

    config: RLOOConfig

    def advantages(self, batch: Batch) -> Tensor:
        """(B, T), the same at every token of a completion."""
        return self.at_every_token(leave_one_out_advantages(self.penalised_rewards(batch)), batch)


class ReinforceBaselineLearner(PolicyGradientLearner):
    """Advantage: reward above the group's mean less future KL, normalised over the rollout."""

    config: ReinforceBaselineConfig

    def advantages(self, batch: Batch) -> Tensor:
        """(B, T)."""
        centred_PG = group_advantages(batch.reward_PG, scale="none")
        advantage_BT = self.at_every_token(centred_PG, batch) + self.kl_returns(batch)
        if not self.config.normalize_advantages:
            return advantage_BT
        return normalize_over_tokens(advantage_BT, batch.mask_BT)


register_algorithm("rloo", RLOOConfig)
register_algorithm("reinforce_baseline", ReinforceBaselineConfig)
