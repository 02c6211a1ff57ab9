"""AdamW and its learning-rate schedule."""

from __future__ import annotations

import math
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import nn

from echochamber.base import Config


class OptimizerConfig(Config):
    """AdamW (Loshchilov and Hutter, arXiv:1711.05101) with warm-up and a decay; the paper's betas and decay.

    Attributes:
        learning_rate: the peak.
        weight_decay: applied to every parameter, as in the paper.
        max_grad_norm: gradients are scaled down to this norm; None never clips.
        schedule: shape after the warm-up: cosine or linear to `final_fraction` of the peak, or constant.
        warmup_fraction: share of the steps that rise linearly to the peak.
        warmup_steps: the same as a number of steps; overrides the fraction when given.
    """

    learning_rate: float = Field(default=3e-3, gt=0)
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = Field(default=0.1, ge=0)
    eps: float = Field(default=1e-8, gt=0)
    max_grad_norm: float | None = Field(default=1.0, gt=0)
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    final_fraction: float = Field(default=0.1, ge=0, le=1)
    warmup_fraction: float = Field(default=0.03, ge=0, le=1)
    warmup_steps: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _betas_below_one(self) -> Self:
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas {self.betas}: expected two numbers in [0, 1)")
        return self

    @property
    def clip(self) -> float:
        """`max_grad_norm` as `train_step` takes it."""
        return math.inf if self.max_grad_norm is None else self.max_grad_norm


def make_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.AdamW:
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


def learning_rate_at(step: int, config: OptimizerConfig, total_steps: int) -> float:
    """Learning rate of update number `step`, counted from 0.

    Warm-up of w steps: peak x (step + 1) / w. Then, with x running from 0 at the first step after the
    warm-up to 1 at the last step, peak x (f + (1 - f) (1 + cos(pi x)) / 2), f the final fraction.
    """
    warmup = config.warmup_steps
    if warmup is None:
        warmup = math.floor(config.warmup_fraction * total_steps)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    if config.schedule == "constant":
        return config.learning_rate
    x = min(1.0, (step - warmup) / max(1, total_steps - 1 - warmup))
    share = 1 - x if config.schedule == "linear" else (1 + math.cos(math.pi * x)) / 2
    return config.learning_rate * (config.final_fraction + (1 - config.final_fraction) * share)


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Use this learning rate for every parameter from the next step on."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
