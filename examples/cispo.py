"""An algorithm of one's own in one file: CISPO (MiniMax-M1, arXiv:2506.13585, eq. 4 and 5).

A study names this file under `modules: [cispo.py]` and says `algorithm: cispo` in an arm. Tested in
tests/rl/test_own_algorithm.py.

PPO's clip gives a token whose ratio has left the bounds no gradient at all. CISPO bounds the importance
weight instead, so that every token keeps its gradient: the objective at a token is
`stop_gradient(min(ratio, max_ratio)) * advantage * log pi`, averaged over all tokens, with GRPO's advantage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field
from torch import Tensor

import echochamber
from echochamber.rl import Context, GroupConfig, GroupLearner, Learner, RolloutBatch, Surrogate
from echochamber.rl.objectives import Aggregation, keep, log_ratio
from echochamber.train import StepStats


class CISPOConfig(GroupConfig):
    """GRPO's settings, and `max_ratio`, the bound on the weight; the paper does not state its own."""

    algorithm: Literal["cispo"] = "cispo"
    aggregation: Aggregation = "token_mean"
    kl_coefficient: float = Field(default=0.0, ge=0)
    max_ratio: float = Field(default=5.0, gt=0)

    def learner(self, context: Context) -> Learner:
        return CISPOLearner(self, context)


class CISPOLearner(GroupLearner):
    config: CISPOConfig

    def surrogate(
        self, logp_BT: Tensor, old_logp_BT: Tensor, advantage_BT: Tensor, mask_BT: Tensor
    ) -> Surrogate:
        ratio_BT = log_ratio(logp_BT, old_logp_BT, mask_BT).exp().detach()
        weight_BT = ratio_BT.clamp(max=self.config.max_ratio)
        loss_BT = -weight_BT * keep(advantage_BT, mask_BT) * keep(logp_BT, mask_BT)
        capped_BT = mask_BT & (ratio_BT > self.config.max_ratio)
        return Surrogate(loss_BT, ratio_BT, clipped_low_BT=capped_BT & ~capped_BT, clipped_high_BT=capped_BT)

    def row(self, batch: RolloutBatch, stats: Mapping[str, Sequence[StepStats]]) -> dict[str, Any]:
        surprise = -batch.old_logp_BT[batch.mask_BT].mean()
        return {**super().row(batch, stats), "token_surprise": float(surprise)}


echochamber.register_algorithm("cispo", CISPOConfig)
