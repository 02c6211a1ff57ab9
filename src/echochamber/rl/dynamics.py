"""What a step's completions and updates looked like, as one row of numbers, and warnings in plain words.

Shape suffixes: P prompts, G samples a prompt, B completions, T response tokens.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from echochamber.rl.advantages import no_signal
from echochamber.rl.objectives import Estimator, kl_estimate
from echochamber.rollout import Completion

KL_COLUMNS: tuple[tuple[str, Estimator], ...] = (("kl", "k3"), ("kl_k1", "k1"), ("kl_k2", "k2"))


def completion_row(completions: Sequence[Completion]) -> dict[str, Any]:
    """Shares and accuracy by format, outcomes, lengths.

    `share`: part of all completions in each format that occurs, summing to 1. `accuracy`: part of a format's
    completions that the grader paid. `correct`: the same over all. `format_entropy`: of the shares, in nats.
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


def reward_row(reward_PG: Tensor) -> dict[str, float]:
    """Mean and spread of the rewards, and the part of groups whose samples all earned the same."""
    return {
        "reward": float(reward_PG.mean()),
        "reward_std": float(reward_PG.std(correction=0)),
        "no_signal_fraction": float(no_signal(reward_PG).double().mean()),
    }


def logprob_row(
    logp_BT: Tensor, ref_logp_BT: Tensor | None, rollout_logp_BT: Tensor, entropy_BT: Tensor, mask_BT: Tensor
) -> dict[str, float]:
    """Per-token means over the rollout, by the policy that sampled it, in nats.

    `entropy`: of the tokens' distributions. `kl`: KL to the reference by the k3 estimator, with
    `kl_k1` and `kl_k2` beside it. `mismatch`, `mismatch_max`: absolute difference between the trainer's
    and the engine's log-probabilities of the same tokens.
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


NO_SIGNAL = 0.95
ENTROPY_COLLAPSE = 0.02
KL_RUNAWAY = 1.0
VALUE_DIVERGENCE = -1.0
CONFIRM = 3
"""An alarm is raised when its condition has held for this many steps in a row."""
AT_ONCE = ("kept_nothing",)


def alarms_of(row: Mapping[str, Any]) -> dict[str, str]:
    """The conditions that hold in one row of metrics, by name, each with a sentence.

    Thresholds are in nats a token for entropy and KL.
    """
    found = {}
    no_signal_fraction = row.get("no_signal_fraction", 0.0)
    if no_signal_fraction > NO_SIGNAL:
        found["no_signal"] = (
            f"{no_signal_fraction:.0%} of the questions taught nothing: all their samples earned the same. "
            "The questions are too easy or too hard for this policy, or samples_per_prompt is too small"
        )
    if row.get("entropy", math.inf) < ENTROPY_COLLAPSE:
        found["entropy_collapse"] = (
            f"the token entropy fell to {row['entropy']:.3g} nats: the policy hardly explores any more. "
            "An entropy_bonus, a larger kl_coefficient or a lower learning rate keeps it open"
        )
    if abs(row.get("kl", 0.0)) > KL_RUNAWAY:
        found["kl_runaway"] = (
            f"the KL to the reference is {row['kl']:.3g} nats a token: the policy has left the model it "
            "started from. A larger kl_coefficient or a lower learning rate holds it back"
        )
    if row.get("kept") == 0:
        found["kept_nothing"] = (
            "this round kept none of its samples and leaves the weights as they were. "
            "More samples_per_prompt or easier questions would give it something to imitate"
        )
    explained = row.get("explained_variance")
    if explained is not None and explained < VALUE_DIVERGENCE:
        found["value_divergence"] = (
            f"the critic explains {explained:.2f} of the variance of the returns, worse than a constant. "
            "Lower the critic's learning rate or give it critic_warmup_steps"
        )
    return found


def confirmed(streaks: dict[str, int], found: Mapping[str, str]) -> list[str]:
    """Update the streaks in place; the sentences whose condition has now held `CONFIRM` steps in a row."""
    for name in [name for name in streaks if name not in found]:
        del streaks[name]
    raised = []
    for name, sentence in found.items():
        streaks[name] = streaks.get(name, 0) + 1
        if streaks[name] == (1 if name in AT_ONCE else CONFIRM):
            raised.append(sentence)
    return raised


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
