"""AdamW and its learning-rate schedule."""

from __future__ import annotations

import math

from echochamber.base.lazy import torch
from echochamber.train.config import OptimizerConfig


def make_optimizer(model: torch.nn.Module, config: OptimizerConfig) -> torch.optim.AdamW:
    """AdamW over the trainable parameters of `model`.

    The fused implementation is used where PyTorch has one: it computes the same update in one pass over
    each parameter, elementwise, so it is as reproducible as the plain one.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    fused = all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for p in parameters)
    return torch.optim.AdamW(
        parameters,
        lr=config.learning_rate,
        betas=config.betas,
        eps=config.eps,
        weight_decay=config.weight_decay,
        fused=fused or None,
    )


def learning_rate_at(number: int, config: OptimizerConfig, total: int) -> float:
    """Learning rate of update number `number` of `total`, counted from 0.

    Warm-up of w updates: peak x (number + 1) / w. Then, with x running from 0 at the first update after the
    warm-up to 1 at the last, peak x (f + (1 - f) (1 + cos(pi x)) / 2), f the final fraction.
    """
    warmup = config.warmup_steps
    if warmup is None:
        warmup = math.floor(config.warmup_fraction * total)
    if number < warmup:
        return config.learning_rate * (number + 1) / warmup
    if config.schedule == "constant":
        return config.learning_rate
    x = min(1.0, (number - warmup) / max(1, total - 1 - warmup))
    share = 1 - x if config.schedule == "linear" else (1 + math.cos(math.pi * x)) / 2
    return config.learning_rate * (config.final_fraction + (1 - config.final_fraction) * share)


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Set this learning rate for every parameter, from the next step on."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
