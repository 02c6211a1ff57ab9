"""Metrics of a step's completions and updates, as one row of numbers.

Shape suffixes: P prompts, G samples per prompt, B completions, T response tokens.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from echochamber.rl.objectives import Estimator, kl_estimate

if TYPE_CHECKING:
    from torch import Tensor

    from echochamber.rollout import Completion

KL_COLUMNS: tuple[tuple[str, Estimator], ...] = (("kl", "k3"), ("kl_k1", "k1"), ("kl_k2", "k2"))


def completion_row(completions: Sequence[Completion]) -> dict[str, Any]:
    """Shares and accuracy by format, outcomes, lengths.

    `share`: fraction of all completions in each format that occurs; these sum to 1. `accuracy`: fraction of a
    format's completions that are correct. `correct`: the same over all formats. `format_entropy`: entropy of
    the shares, in nats.
    """
    by_format: dict[str, list[Completion]] = defaultdict(list)
    for item in completions:
        by_format[item.verdict.format].append(item)
    count = len(completions)
    share = {name: len(items) / count for name, items in sorted(by_format.items())}
    outcomes = Counter(str(item.verdict.outcome) for item in completions)
    return {
        "correct": sum(item.verdict.reward for item in completions) / count,
        "share": share,
        "accuracy": {
            name: sum(item.verdict.reward for item in items) / len(items)
            for name, items in sorted(by_format.items())
        },
        "format_entropy": -sum(p * math.log(p) for p in share.values()),
        "outcome": {name: number / count for name, number in sorted(outcomes.items())},
        "mean_tokens": sum(item.num_tokens for item in completions) / count,
        "max_tokens": max(item.num_tokens for item in completions),
        "truncated_fraction": sum(item.truncated for item in completions) / count,
    }


def no_signal(reward_PG: Tensor) -> Tensor:
    """True for each prompt whose samples all earned the same: no group baseline can learn from it."""
    return (reward_PG == reward_PG[:, :1]).all(dim=1)


def reward_row(reward_PG: Tensor) -> dict[str, float]:
    """Mean and spread of the rewards, and the fraction of groups whose samples all earned the same."""
    return {
        "reward": float(reward_PG.mean()),
        "reward_std": float(reward_PG.std(correction=0)),
        "no_signal_fraction": float(no_signal(reward_PG).double().mean()),
    }


def logprob_row(
    logp_BT: Tensor, ref_logp_BT: Tensor | None, rollout_logp_BT: Tensor, entropy_BT: Tensor, mask_BT: Tensor
) -> dict[str, float]:
    """Per-token means over the rollout, by the policy that sampled it, in nats.

    `entropy`: entropy of the tokens' distributions. `kl`: KL to the reference by the k3 estimator; `kl_k1`
    and `kl_k2` by the others. `mismatch`, `mismatch_max`: mean and maximum absolute difference between the
    trainer's and the engine's log-probabilities of the same tokens.
    """
    mask_BT, num_tokens = mask_BT.cpu(), int(mask_BT.sum())
    logp_BT, rollout_logp_BT = logp_BT.cpu().double(), rollout_logp_BT.cpu().double()
    row = {"entropy": float(entropy_BT.cpu().double()[mask_BT].sum()) / num_tokens}
    if ref_logp_BT is not None:
        ref_logp_BT = ref_logp_BT.cpu().double()
        for name, estimator in KL_COLUMNS:
            values_BT = kl_estimate(logp_BT, ref_logp_BT, mask_BT, estimator)
            row[name] = float(values_BT.sum()) / num_tokens
    difference_N = (logp_BT - rollout_logp_BT)[mask_BT].abs()
    row["mismatch"] = float(difference_N.mean())
    row["mismatch_max"] = float(difference_N.max())
    return row


def ratio_row(sums: Mapping[str, float]) -> dict[str, float]:
    """Clip fractions and ratio statistics from sums over all updates of a step."""
    tokens = max(sums.get("tokens", 0.0), 1.0)
    shift = sums.get("ratio_shift", 0.0) / tokens
    variance = max(sums.get("ratio_shift_squared", 0.0) / tokens - shift**2, 0.0)
    return {
        "clip_low_fraction": sums.get("clipped_low", 0.0) / tokens,
        "clip_high_fraction": sums.get("clipped_high", 0.0) / tokens,
        "ratio_mean": 1 + shift,
        "ratio_std": math.sqrt(variance),
    }


def pooled(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Sum of metrics over the updates of a step."""
    total: dict[str, float] = {}
    for part in parts:
        for name, value in part.items():
            total[name] = total.get(name, 0.0) + value
    return total
