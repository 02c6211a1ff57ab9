"""The one training step, used by pretraining, supervised fine-tuning and every RL algorithm."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from echochamber.train.config import OptimizerConfig
from echochamber.train.losses import LossSum
from echochamber.train.nonfinite import NonFiniteError
from echochamber.train.optimizer import learning_rate_at, set_learning_rate
from echochamber.train.parallel import Collective, SummedGradients, full_tensor
from echochamber.train.world import World

M = TypeVar("M")


@dataclass(frozen=True)
class StepStats:
    """The result of one optimizer step.

    Attributes:
        loss: the sum of all microbatch totals divided by the normalizer.
        grad_norm: Euclidean norm of the gradient before clipping.
        metrics: sums over the microbatches, under the names the loss function gave.
    """

    loss: float
    grad_norm: float
    metrics: dict[str, float]


def optimizer_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    config: OptimizerConfig,
    microbatches: Iterable[M],
    loss_fn: Callable[[M], LossSum],
    *,
    number: int,
    total: int,
    normalizer: float,
    collective: Collective | None = None,
) -> StepStats:
    """Step `number` of `total` on the gradient of (sum of all microbatch totals) / normalizer.

    Because each microbatch returns a sum and the normalizer is global, how a batch is split into
    microbatches changes the result by rounding only.

    Args:
        model: whose parameters are clipped together; `optimizer` must own the same ones.
        config: the learning rate at this step, and the norm that gradients are scaled down to.
        microbatches: passed to `loss_fn` one by one; their gradients add up.
        normalizer: e.g. the number of loss tokens of the whole batch, over all microbatches.
        collective: the other processes of this step; each passes its own microbatches, at least one (and
            equally many if gradients are exchanged during the backward pass), and the same global normalizer,
            and all get the same statistics.

    Raises:
        NonFiniteError: loss or gradient is not finite; nothing was updated, gradients are cleared.
        ValueError: the normalizer is not positive, or there is no microbatch.
    """
    if not (normalizer > 0 and math.isfinite(normalizer)):
        raise ValueError(f"normalizer {normalizer}: expected a positive finite number")
    together = collective or SummedGradients(World())
    set_learning_rate(optimizer, learning_rate_at(number, config, total))
    optimizer.zero_grad(set_to_none=True)
    losses, sums = _accumulate(list(microbatches), loss_fn, normalizer, together)
    if not losses:
        raise ValueError("no microbatch was given")
    if collective is not None:
        # Processes may have different numbers of microbatches.
        losses = [torch.stack(losses).to(torch.float64).sum()]
    parameters = [p for p in model.parameters() if p.grad is not None]
    together.gradients(parameters)
    norm = full_tensor(nn.utils.clip_grad_norm_(parameters, config.clip))
    # One transfer from the device for all numbers.
    values = torch.stack([v.to(torch.float64) for v in (*losses, *sums.values())])
    numbers = [float(v) for v in torch.cat([together.sum(values), norm.to(torch.float64)[None]]).tolist()]
    loss_values, metric_values, grad_norm = numbers[: len(losses)], numbers[len(losses) : -1], numbers[-1]
    bad = _what_is_not_finite(loss_values, grad_norm)
    if bad:
        optimizer.zero_grad(set_to_none=True)
        raise NonFiniteError(bad)
    optimizer.step()
    # Actor and critic take turns and share the memory for gradients.
    optimizer.zero_grad(set_to_none=True)
    return StepStats(
        math.fsum(loss_values) / normalizer, grad_norm, dict(zip(sums, metric_values, strict=True))
    )


def _accumulate(
    microbatches: Sequence[M], loss_fn: Callable[[M], LossSum], normalizer: float, together: Collective
) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Add up the gradients of the microbatches; returns their losses, and the sums of their metrics."""
    losses: list[Tensor] = []
    sums: dict[str, Tensor] = {}
    for index, microbatch in enumerate(microbatches):
        with together.accumulating(index == len(microbatches) - 1):
            loss = loss_fn(microbatch)
            (loss.total / (normalizer / together.gradient_scale)).backward()  # type: ignore[no-untyped-call]
        losses.append(loss.total.detach())
        for name, value in loss.metrics.items():
            sums[name] = value.detach() if name not in sums else sums[name] + value.detach()
    return losses, sums


def _what_is_not_finite(losses: list[float], grad_norm: float) -> str:
    for index, loss in enumerate(losses):
        if not math.isfinite(loss):
            return f"the loss of microbatch {index} of {len(losses)} is {loss}"
    return "" if math.isfinite(grad_norm) else f"the gradient norm is {grad_norm}"
