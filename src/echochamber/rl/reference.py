"""The frozen policy that KL is measured to, and the KL coefficient, which may be adapted to a target."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from echochamber.base.lazy import torch
from echochamber.rl.policy_gradient_config import PolicyGradientConfig

if TYPE_CHECKING:
    from echochamber.model import Policy


class Reference:
    """A copy of the weights that an arm starts from, kept where `keep_reference` says.

    Attributes:
        policy: those weights.
    """

    def __init__(self, policy: Policy, config: PolicyGradientConfig) -> None:
        self.policy = copy.deepcopy(policy).requires_grad_(False)
        self._on_host = config.keep_reference == "host"
        if self._on_host:
            self.policy.to("cpu")
        elif config.keep_reference == "bfloat16":
            # Only the parameters: rotary tables need the precision of float32.
            for parameter in self.policy.parameters():
                parameter.data = parameter.data.to(torch.bfloat16)

    @contextmanager
    def on(self, device: torch.device) -> Iterator[Policy]:
        """The reference on a device for the duration of the block; afterwards it returns to its place."""
        yield self.policy.to(device)
        if self._on_host:
            self.policy.to("cpu")


def steered_coefficient(config: PolicyGradientConfig, coefficient: float, row: Mapping[str, Any]) -> float:
    """The KL coefficient of the next step, adapted to the target (Ziegler et al. 2019, sec. 2.2).

    Args:
        row: metrics of the step, with the measured KL in nats per token.
    """
    if config.kl_target is None:
        return coefficient
    measured = row["kl"] if config.kl_estimator == "k3" else row[f"kl_{config.kl_estimator}"]
    error = min(max(measured / config.kl_target - 1, -0.2), 0.2)
    num_completions = config.prompts_per_step * config.samples_per_prompt
    return float(coefficient * (1 + error * num_completions / config.kl_horizon))
