"""Plain-language warnings about a step's row of metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

NO_SIGNAL = 0.95
ENTROPY_COLLAPSE = 0.02
KL_RUNAWAY = 1.0
VALUE_DIVERGENCE = -1.0
CONFIRM = 3
"""An alarm is raised when its condition has held for this many steps in a row."""
AT_ONCE = ("kept_nothing",)


def alarms_of(row: Mapping[str, Any]) -> dict[str, str]:
    """The alarm conditions that hold in one row of metrics, by name, each with a sentence.

    The thresholds of entropy and KL are in nats per token.
    """
    found = {}
    no_signal_fraction = row.get("no_signal_fraction", 0.0)
    if no_signal_fraction > NO_SIGNAL:
        found["no_signal"] = (
            f"{no_signal_fraction:.0%} of the questions taught nothing: all their samples earned the same "
            "reward. The questions are too easy or too hard for this policy, or samples_per_prompt is too "
            "small"
        )
    if row.get("entropy", math.inf) < ENTROPY_COLLAPSE:
        found["entropy_collapse"] = (
            f"the token entropy fell to {row['entropy']:.3g} nats: the policy hardly explores anymore. "
            "An entropy_bonus, a larger kl_coefficient or a lower learning rate would keep it exploring"
        )
    if abs(row.get("kl", 0.0)) > KL_RUNAWAY:
        found["kl_runaway"] = (
            f"the KL to the reference is {row['kl']:.3g} nats per token: the policy has left the model it "
            "started from. A larger kl_coefficient or a lower learning rate would hold it back"
        )
    if row.get("kept") == 0:
        found["kept_nothing"] = (
            "this round kept none of its samples and leaves the weights unchanged. "
            "A larger samples_per_prompt or easier questions would give it something to imitate"
        )
    explained = row.get("explained_variance")
    if explained is not None and explained < VALUE_DIVERGENCE:
        found["value_divergence"] = (
            f"the critic explains {explained:.2f} of the variance of the returns, worse than a constant. "
            "Lower the critic's learning rate or give it critic_warmup_steps"
        )
    return found


def confirmed(streaks: dict[str, int], found: Mapping[str, str]) -> list[str]:
    """Update the streaks in place; return sentences whose condition has now held `CONFIRM` steps in a row."""
    for name in [name for name in streaks if name not in found]:
        del streaks[name]
    raised = []
    for name, sentence in found.items():
        streaks[name] = streaks.get(name, 0) + 1
        if streaks[name] == (1 if name in AT_ONCE else CONFIRM):
            raised.append(sentence)
    return raised
