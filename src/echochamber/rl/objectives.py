"""The objectives of policy optimization, per token: tensors in, tensors out.

Shape suffixes: B completions, T response tokens, P prompts, G samples per prompt.
Every term has one value per token, which `weighted_sum` reduces; a token mean,
a mean of sequence means and a constant normalizer are the same code with
different weights (`token_weights`).

mask_BT is True on tokens the policy sampled. Masked entries may hold
anything, NaN included: they contribute exactly 0 and receive zero gradient.
Log-probabilities are in nats.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from echochamber import train
from echochamber.base.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from echochamber.train import LossSum

Estimator = Literal["k1", "k2", "k3"]
Aggregation = Literal["sequence_mean", "token_mean", "constant", "sequence_sum"]
RatioLevel = Literal["token", "sequence_mean", "sequence_sum"]


def keep(value_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """`value_BT` on the mask, exactly 0 elsewhere, with no gradient through masked entries."""
    return torch.where(mask_BT, value_BT, torch.zeros((), dtype=value_BT.dtype, device=value_BT.device))


def weighted_sum(term_BT: Tensor, weight_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Sum of `weight * term` over the mask, 0-d."""
    return (keep(term_BT, mask_BT) * keep(weight_BT, mask_BT)).sum()


def kl_estimate(logp_BT: Tensor, ref_logp_BT: Tensor, mask_BT: Tensor, estimator: Estimator) -> Tensor:
    """Single-sample estimate of KL(policy || reference) at each token, in nats.

    Schulman 2020, "Approximating KL divergence". With r = log(ref / policy) at the sampled token:
    k1 = -r (unbiased, may be negative), k2 = r**2 / 2, k3 = exp(r) - 1 - r (unbiased, never negative).

    As *values* all three estimate the same number. As *losses* they differ:
    E[grad k1] = 0, E[grad k2] = grad KL(policy || reference), and
    E[grad k3] = grad KL(reference || policy) on the sampled states.
    """
    log_ref_over_policy_BT = keep(ref_logp_BT, mask_BT) - keep(logp_BT, mask_BT)
    if estimator == "k1":
        return -log_ref_over_policy_BT
    if estimator == "k2":
        return log_ref_over_policy_BT.square() / 2
    return torch.expm1(log_ref_over_policy_BT) - log_ref_over_policy_BT


def log_ratio(logp_BT: Tensor, old_logp_BT: Tensor, mask_BT: Tensor, level: RatioLevel = "token") -> Tensor:
    """Log of the importance ratio that each token is weighted by, broadcast to (B, T).

    `token`: log pi(t) - log old(t), as in PPO and GRPO.
    `sequence_mean`: its mean over the completion (GSPO, Zheng et al. 2025, arXiv:2507.18071, eq. 7).
    `sequence_sum`: its sum, the ratio of whole-completion probabilities (RLOO as in Ahmadian et al. 2024).
    """
    log_ratio_BT = keep(logp_BT, mask_BT) - keep(old_logp_BT, mask_BT)
    if level == "token":
        return log_ratio_BT
    total_B1 = log_ratio_BT.sum(dim=1, keepdim=True)
    if level == "sequence_mean":
        total_B1 = total_B1 / mask_BT.sum(dim=1, keepdim=True).clamp(min=1)
    return keep(total_B1.expand_as(log_ratio_BT), mask_BT)


def normalize_over_tokens(advantage_BT: Tensor, mask_BT: Tensor, *, epsilon: float = 1e-8) -> Tensor:
    """Advantages of mean 0 and standard deviation 1 over all rollout tokens, 0 where masked.

    The paper's PPO and REINFORCE baseline; `epsilon` bounds the variance from below.
    """
    weight_BT = mask_BT.to(advantage_BT.dtype)
    count = weight_BT.sum().clamp(min=1)
    advantage_BT = torch.where(mask_BT, advantage_BT, torch.zeros_like(advantage_BT))
    mean = advantage_BT.sum() / count
    centered_BT = (advantage_BT - mean) * weight_BT
    variance = centered_BT.square().sum() / count
    return centered_BT / variance.clamp(min=epsilon).sqrt()


@dataclass(frozen=True)
class Surrogate:
    """The surrogate for the expected advantage: the part of the loss in which algorithms differ.

    Attributes:
        loss_BT: negated objective at each token.
        ratio_BT: importance ratio, detached; 1 where masked.
        clipped_low_BT: the lower bound is active; for PPO's clip, gradient 0 and a negative advantage.
        clipped_high_BT: the upper bound is active; for PPO's clip, gradient 0 and a positive advantage.
    """

    loss_BT: Tensor
    ratio_BT: Tensor
    clipped_low_BT: Tensor
    clipped_high_BT: Tensor


def clipped_surrogate(
    log_ratio_BT: Tensor,
    advantage_BT: Tensor,
    mask_BT: Tensor,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
) -> Surrogate:
    """Negated PPO clipped objective at each sampled token.

    Schulman et al. 2017 (arXiv:1707.06347), eq. 7. Deviation: separate lower
    and upper clips (DAPO, arXiv:2503.14476, eq. 8); equal values recover PPO.

    Raises:
        ValueError: shapes differ, or a clip is outside (0, 1) / (0, inf).
    """
    if not (log_ratio_BT.shape == advantage_BT.shape == mask_BT.shape):
        raise ValueError(
            f"shapes differ: {tuple(log_ratio_BT.shape)}, {tuple(advantage_BT.shape)}, {tuple(mask_BT.shape)}"
        )
    if not 0 < clip_low < 1 or not clip_high > 0:
        raise ValueError(f"clip_low must lie in (0, 1) and clip_high above 0, not {clip_low} and {clip_high}")
    ratio_BT = torch.exp(keep(log_ratio_BT, mask_BT))
    advantage_BT = keep(advantage_BT, mask_BT)
    bounded_BT = ratio_BT.clamp(1 - clip_low, 1 + clip_high)
    loss_BT = keep(-torch.minimum(ratio_BT * advantage_BT, bounded_BT * advantage_BT), mask_BT)
    detached_BT = ratio_BT.detach()
    return Surrogate(
        loss_BT=loss_BT,
        ratio_BT=detached_BT,
        clipped_low_BT=mask_BT & (detached_BT < 1 - clip_low) & (advantage_BT < 0),
        clipped_high_BT=mask_BT & (detached_BT > 1 + clip_high) & (advantage_BT > 0),
    )


def truncated_importance_weight(
    old_logp_BT: Tensor, rollout_logp_BT: Tensor, mask_BT: Tensor, cap: float
) -> Tensor:
    """min(pi_train(old) / pi_rollout, cap) at each token, detached; 1 where masked.

    Corrects for an engine whose probabilities differ from the trainer's on
    the same weights (Yao et al. 2025, "truncated importance sampling").
    """
    difference_BT = keep(old_logp_BT, mask_BT) - keep(rollout_logp_BT, mask_BT)
    return torch.exp(difference_BT.detach()).clamp(max=cap)


def token_weights(mask_BT: Tensor, aggregation: Aggregation, dtype: torch.dtype) -> Tensor:
    """Weight of each token; together with `normalizer_of` it gives the named mean.

    `sequence_mean`: 1 / completion length, mean over completions (GRPO, arXiv:2402.03300, eq. 3).
    `token_mean`: 1, divided by all tokens (DAPO, arXiv:2503.14476, eq. 8; PPO).
    `constant`: 1, divided by completions x longest allowed length (Dr. GRPO, arXiv:2503.20783).
    `sequence_sum`: 1, divided by completions (the policy gradient itself; RLOO).
    """
    weight_BT = mask_BT.to(dtype)
    if aggregation == "sequence_mean":
        return weight_BT / mask_BT.sum(dim=1, keepdim=True).clamp(min=1).to(dtype)
    return weight_BT


def normalizer_of(
    num_completions: int, num_tokens: int, max_new_tokens: int, aggregation: Aggregation
) -> float:
    """The divisor of the weighted sum over one whole update; never below 1."""
    if aggregation == "token_mean":
        return float(max(num_tokens, 1))
    if aggregation == "constant":
        return float(max(num_completions * max_new_tokens, 1))
    return float(max(num_completions, 1))


def policy_objective(
    surrogate: Surrogate,
    logp_BT: Tensor,
    mask_BT: Tensor,
    *,
    aggregation: Aggregation,
    importance_BT: Tensor | None = None,
    ref_logp_BT: Tensor | None = None,
    kl_coefficient: float = 0.0,
    kl_estimator: Estimator = "k3",
    entropy_BT: Tensor | None = None,
    entropy_bonus: float = 0.0,
) -> LossSum:
    """The whole policy loss: weighted sum of (importance weight x surrogate + KL - entropy) over tokens.

    Loss at a token = importance_t * surrogate_t + kl_coefficient * kl_t - entropy_bonus * H_t. Divide the
    total by `normalizer_of` for the mean that `aggregation` names.

    Metrics are sums over the mask: `tokens`, `clipped_low`, `clipped_high`, and `ratio_shift` and
    `ratio_shift_squared` of the ratio minus 1.

    Raises:
        ValueError: the input of a term is missing.
    """
    term_BT = surrogate.loss_BT
    if importance_BT is not None:
        term_BT = term_BT * importance_BT
    if kl_coefficient != 0.0:
        if ref_logp_BT is None:
            raise ValueError("a KL term needs the reference's log-probabilities")
        term_BT = term_BT + kl_coefficient * kl_estimate(logp_BT, ref_logp_BT, mask_BT, kl_estimator)
    if entropy_bonus != 0.0:
        if entropy_BT is None:
            raise ValueError("an entropy bonus needs the entropies")
        term_BT = term_BT - entropy_bonus * keep(entropy_BT, mask_BT)
    shift_BT = keep(surrogate.ratio_BT - 1, mask_BT)
    return train.LossSum(
        weighted_sum(term_BT, token_weights(mask_BT, aggregation, logp_BT.dtype), mask_BT),
        {
            "tokens": mask_BT.sum(),
            "ratio_shift": shift_BT.sum(),
            "ratio_shift_squared": shift_BT.square().sum(),
            "clipped_low": surrogate.clipped_low_BT.sum(),
            "clipped_high": surrogate.clipped_high_BT.sum(),
        },
    )
