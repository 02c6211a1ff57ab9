"""Several processes train one model: torchrun with DDP or FSDP2, or with explicitly added gradients.

Losses are sums over the rows of one process; gradients are the sum over all processes divided by the global
normalizer, so that the number of processes changes rounding only.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from echochamber.base import EchoError, InputError
from echochamber.train.config import ParallelConfig
from echochamber.train.losses import LossSum
from echochamber.train.world import World


class _LossModule(nn.Module):
    """Makes `loss(model, microbatch)` the forward pass, so that the wrappers' hooks see all of it."""

    def __init__(self, model: nn.Module, loss: Callable[[Any, Any], LossSum]) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, microbatch: Any) -> tuple[Tensor, dict[str, Tensor]]:
        # FSDP2 finds the tensors to hook in tuples and dictionaries, not in our dataclass.
        result = self.loss(self.model, microbatch)
        return result.total, result.metrics


class ParallelModel:
    """A model prepared for `optimizer_step` in this world; for one process without options, the model itself.

    Args:
        model: equal in every process. Under FSDP2 a sharded copy is trained and `finish` copies back.
        loss: gives the loss sum of one microbatch of this process.
        config: strategy and options.
        world: from `start_world`.

    Raises:
        InputError: compilation is asked for and there is no compiler.

    Attributes:
        trained: whose parameters the optimizer must own and checkpoints hold, under the model's names.
        gradient_scale: the wrappers average gradients over processes, whereas sums are needed.
    """

    def __init__(
        self, model: nn.Module, loss: Callable[[Any, Any], LossSum], config: ParallelConfig, world: World
    ) -> None:
        self.world, self._model, self._config = world, model, config
        self.gradient_scale = float(world.size)
        self.trained = model
        self._ddp: nn.parallel.DistributedDataParallel | None = None
        if world.size > 1 and config.strategy == "fsdp":
            self.trained = _copy(model)
        self.trained.to(world.device)
        self._prepare_blocks()
        self._forward: nn.Module = _LossModule(self.trained, loss)
        if world.size > 1 and config.strategy == "fsdp":
            _shard(self._forward, self.trained, world)
        elif world.size > 1:
            ids = [world.device.index] if world.device.type == "cuda" else None
            wrap = nn.parallel.DistributedDataParallel
            # Rotary tables are equal everywhere; sending them at every forward pass would be wasteful.
            tables = [name for name, _ in self._forward.named_buffers()]
            wrap._set_params_and_buffers_to_ignore_for_model(  # type: ignore[no-untyped-call]
                self._forward, tables
            )
            self._forward = self._ddp = wrap(self._forward, device_ids=ids)

    def _prepare_blocks(self) -> None:
        if self._config.compile and not any(
            map(shutil.which, (os.environ.get("CXX", "c++"), "g++", "clang++"))
        ):
            raise InputError(
                "parallel.compile is true and this machine has no C++ compiler (c++, g++, clang++ or $CXX); "
                "install one or set it to false"
            )
        for block in _blocks(self.trained):
            if self._config.activation_checkpointing:
                vars(block)["forward"] = functools.partial(checkpoint, block.forward, use_reentrant=False)
            if self._config.compile:
                block.compile()

    def loss(self, microbatch: Any) -> LossSum:
        """The loss sum of one microbatch; what `optimizer_step` takes as `loss_fn`."""
        total, metrics = self._forward(microbatch)
        return LossSum(total, metrics)

    def accumulating(self, last: bool) -> AbstractContextManager[Any]:
        """Context of one microbatch: gradients are exchanged once, with the last microbatch.

        FSDP2 reduces them every time, since whole gradients would not fit in memory where it is needed.
        """
        if self._ddp is not None and not last:
            return cast(AbstractContextManager[Any], self._ddp.no_sync())
        return contextlib.nullcontext()

    def gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Does nothing: the wrappers have reduced the gradients during the backward pass."""

    def sum(self, values: Tensor) -> Tensor:
        """Sum of per-process values."""
        return self.world.sum(values)

    def finish(self) -> None:
        """Copy the trained weights back into the given model and remove the wrappers."""
        if self.trained is not self._model:
            state = {name: full_tensor(tensor) for name, tensor in self.trained.state_dict().items()}
            self._model.load_state_dict(state)
            return
        for block in _blocks(self._model):
            vars(block).pop("forward", None)
            block._compiled_call_impl = None


# Gradient elements sent in one message.
_BUCKET_ELEMENTS = 2**25


class Collective(Protocol):
    """How the processes that share one step work together; `ParallelModel` is one."""

    @property
    def gradient_scale(self) -> float:
        """Number of processes over which the backward pass averages gradients."""

    def accumulating(self, last: bool) -> AbstractContextManager[Any]:
        """Entered around each microbatch."""

    def gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Called after the last backward pass: each gradient must become the one of all processes."""

    def sum(self, values: Tensor) -> Tensor:
        """Elementwise sum over processes."""


class SummedGradients:
    """A `Collective` for losses that are not a wrapped forward pass: RL's use parts of a model.

    Every process holds the whole model; gradients are added after the last microbatch, in buckets, and are
    bit-identical in all processes, so that the copies stay equal.
    """

    gradient_scale = 1.0

    def __init__(self, world: World) -> None:
        self.world = world

    def accumulating(self, last: bool) -> AbstractContextManager[Any]:
        """Does nothing."""
        return contextlib.nullcontext()

    def gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace each gradient by its sum over all processes."""
        if self.world.size == 1:
            return
        bucket: list[Tensor] = []
        for gradient in [p.grad for p in parameters if p.grad is not None]:
            if bucket and sum(g.numel() for g in bucket) + gradient.numel() > _BUCKET_ELEMENTS:
                self._reduce(bucket)
                bucket = []
            bucket.append(gradient)
        self._reduce(bucket)

    def _reduce(self, bucket: Sequence[Tensor]) -> None:
        flat = torch.cat([gradient.flatten() for gradient in bucket])
        dist.all_reduce(flat)
        for gradient, part in zip(bucket, torch.split(flat, [g.numel() for g in bucket]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def sum(self, values: Tensor) -> Tensor:
        """Sum of per-process values."""
        return self.world.sum(values)


def _blocks(model: nn.Module) -> Iterable[nn.Module]:
    blocks = getattr(model, "blocks", ())
    return list(blocks)


def _copy(model: nn.Module) -> nn.Module:
    import copy

    return copy.deepcopy(model)


def _shard(root: nn.Module, model: nn.Module, world: World) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(world.device.type, (world.size,))
    for block in _blocks(model):
        fully_shard(block, mesh=mesh)
    fully_shard(root, mesh=mesh)


def full_tensor(tensor: Tensor) -> Tensor:
    """The whole of a tensor that may be sharded over processes; every process must call this."""
    gather = getattr(tensor, "full_tensor", None)
    return tensor if gather is None else cast(Tensor, gather())


def gather_tensors(tensors: Mapping[str, Tensor], world: World) -> dict[str, Tensor]:
    """Whole tensors, on the CPU where sharding forces a copy, in the main process; empty elsewhere."""
    gathered: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        sharded = hasattr(tensor, "full_tensor")
        whole = full_tensor(tensor)
        if world.is_main:
            gathered[name] = whole.cpu() if sharded else whole
    return gathered


def like(whole: Tensor, target: Tensor) -> Tensor:
    """`whole` sharded as `target` is."""
    if not hasattr(target, "full_tensor"):
        return whole
    from torch.distributed.tensor import DTensor, distribute_tensor

    sharded = cast(DTensor, target)
    return distribute_tensor(whole.to(sharded.device), sharded.device_mesh, sharded.placements)


@torch.no_grad()
def load_tensors(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """`load_state_dict` for modules that may be sharded.

    Raises:
        EchoError: names or shapes differ.
    """
    state = module.state_dict()
    if state.keys() != tensors.keys() or any(state[n].shape != t.shape for n, t in tensors.items()):
        raise EchoError("the checkpoint holds tensors of another model; remove it or start over with --force")
    for name, target in state.items():
        target.copy_(like(tensors[name], target))
