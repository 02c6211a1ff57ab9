"""The one training step, used by pretraining, supervised tuning and every RL algorithm."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from echochamber.base import EchoError
from echochamber.train.objectives import LossSum

M = TypeVar("M")


@dataclass(frozen=True)
class StepStats:
    """What one optimiser step did.

    Attributes:
        loss: the sum of all microbatch totals divided by the normalizer.
        grad_norm: Euclidean norm of the gradient before clipping.
        metrics: sums over the microbatches, under the names the loss function gave.
    """

    loss: float
    grad_norm: float
    metrics: dict[str, float]


class NonFiniteError(EchoError):
    """A loss or gradient is NaN or infinite; the parameters are as they were before the step.

    `train_step` knows what went wrong, the loop around it where: `located` adds that.
    """

    def __init__(self, what: str, *, step: int | None = None, batch: str = "", checkpoint: str = "") -> None:
        self.what, self.step, self.batch, self.checkpoint = what, step, batch, checkpoint
        where = "" if step is None else f" at step {step}"
        parts = [f"{what}{where}"]
        if batch:
            parts.append(f"the batch was {batch}")
        parts.append(
            f"the last good checkpoint is {checkpoint}" if checkpoint else "the weights were not updated"
        )
        super().__init__("; ".join(parts) + ". Lower the learning rate or look at that batch")

    def located(self, *, step: int, batch: str, checkpoint: str) -> NonFiniteError:
        """The same error with its place; what is already known is kept."""
        return NonFiniteError(
            self.what,
            step=step if self.step is None else self.step,
            batch=self.batch or batch,
            checkpoint=self.checkpoint or checkpoint,
        )


def _floats(values: list[Tensor]) -> list[float]:
    """0-d tensors as numbers with one transfer from the device."""
    if not values:
        return []
    return [float(v) for v in torch.stack([v.detach().to(torch.float64) for v in values]).tolist()]


def train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    microbatches: Iterable[M],
    loss_fn: Callable[[M], LossSum],
    *,
    normalizer: float,
    max_grad_norm: float,
) -> StepStats:
    """One optimiser step on the gradient of (sum of all microbatch totals) / normalizer.

    Because each microbatch returns a sum and the normalizer is global, how a batch is split into
    microbatches changes the result by rounding only.

    Args:
        model: whose parameters are clipped together; `optimizer` must own the same ones.
        microbatches: passed to `loss_fn` one by one; gradients accumulate over them.
        normalizer: e.g. the number of loss tokens of the whole batch, over all microbatches.
        max_grad_norm: the gradient is scaled down to this Euclidean norm; `math.inf` never clips.

    Raises:
        NonFiniteError: loss or gradient is not finite; nothing was updated, gradients are cleared.
        ValueError: the normalizer is not positive, or there is no microbatch.
    """
    if not (normalizer > 0 and math.isfinite(normalizer)):
        raise ValueError(f"normalizer {normalizer}: expected a positive finite number")
    optimizer.zero_grad(set_to_none=True)
    losses: list[Tensor] = []
    sums: dict[str, Tensor] = {}
    for microbatch in microbatches:
        loss = loss_fn(microbatch)
        (loss.total / normalizer).backward()  # type: ignore[no-untyped-call]
        losses.append(loss.total.detach())
        for name, value in loss.metrics.items():
            sums[name] = value.detach() if name not in sums else sums[name] + value.detach()
    if not losses:
        raise ValueError("no microbatch was given")
    parameters = [p for p in model.parameters() if p.grad is not None]
    norm = nn.utils.clip_grad_norm_(parameters, max_grad_norm)
    *loss_values, grad_norm = _floats([*losses, norm])
    bad = _what_is_not_finite(loss_values, grad_norm)
    if bad:
        optimizer.zero_grad(set_to_none=True)
        raise NonFiniteError(bad)
    optimizer.step()
    names = list(sums)
    metrics = dict(zip(names, _floats([sums[name] for name in names]), strict=True))
    return StepStats(math.fsum(loss_values) / normalizer, grad_norm, metrics)


def _what_is_not_finite(losses: list[float], grad_norm: float) -> str:
    for index, loss in enumerate(losses):
        if not math.isfinite(loss):
            return f"the loss of microbatch {index} of {len(losses)} is {loss}"
    return "" if math.isfinite(grad_norm) else f"the gradient norm is {grad_norm}"
