"""The processes that torchrun started, and how they communicate. Only this module knows ranks.

    torchrun --nproc-per-node 8 -m echochamber run study.yaml

Every process runs the same program; only the main one (rank 0) writes. Objects are sent over gloo, GPU
tensors over NCCL.
"""

from __future__ import annotations

import atexit
import functools
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

from echochamber.base import EchoError, InputError, mute_messages
from echochamber.base.lazy import torch
from echochamber.train.precision import best_device

if TYPE_CHECKING:
    from torch import Tensor

R = TypeVar("R")

# The other processes wait while the main one tokenizes or evaluates, which may take days; torchrun itself
# ends the job when a process dies.
_PATIENCE = timedelta(days=7)
_ENDED = "echochamber/ended"


@dataclass(frozen=True)
class World:
    """The processes of this job, and which one this is.

    Attributes:
        place: name of the device on which this process computes, as PyTorch writes it; if empty, the best one
            available.
    """

    rank: int = 0
    size: int = 1
    place: str = "cpu"

    @functools.cached_property
    def device(self) -> torch.device:
        """The device on which this process computes."""
        return torch.device(self.place) if self.place else best_device()

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Elementwise sum over all processes."""
        if self.size == 1:
            return values
        total = values.to(self.device, copy=True)
        torch.distributed.all_reduce(total)
        return total

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return bool(flag) if self.size == 1 else bool(self.sum(torch.tensor([float(flag)])).item())

    def on_main(self, work: Callable[[], R]) -> R:
        """Call a function in the main process; every process gets its result or raises its `EchoError`."""
        if self.size == 1:
            return work()
        box: list[R | EchoError | None] = [None]
        if self.is_main:
            try:
                box[0] = work()
            except EchoError as error:
                box[0] = error
        torch.distributed.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        if isinstance(box[0], EchoError):
            raise box[0]
        return cast(R, box[0])

    def gather(self, value: R) -> list[R]:
        """The values of all processes, in order of rank, in every process."""
        if self.size == 1:
            return [value]
        gathered: list[Any] = [None] * self.size
        torch.distributed.all_gather_object(gathered, value)
        return gathered

    def rows(self, batch_size: int, what: str) -> slice:
        """The rows of a global batch that belong to this process.

        Raises:
            InputError: the batch cannot be divided evenly.
        """
        if batch_size % self.size:
            raise InputError(
                f"{what} {batch_size} is not divisible by the {self.size} processes of this job; "
                f"use a multiple of {self.size}, or another number of processes"
            )
        share = batch_size // self.size
        return slice(self.rank * share, (self.rank + 1) * share)

    def part(self, count: int) -> slice:
        """This process's part of `count` items; the first processes take one more where it is uneven."""
        share, more = divmod(count, self.size)
        start = self.rank * share + min(self.rank, more)
        return slice(start, start + share + (self.rank < more))


def ends_first() -> bool:
    """Whether this process is the first of its job to end with an error, and so may say why.

    The others stay silent: they end for the same reason, or because this one is gone.
    """
    return not _has_joined() or _count(_ENDED, 1) == 1


def another_ended() -> bool:
    """Whether a process of this job has ended with an error and reported it."""
    return _has_joined() and _count(_ENDED, 0) > 0


def all_left(world: World, what: str, *, patience_seconds: float) -> bool:
    """Whether every process confirms within a time limit that it has left `what`; each calls this once.

    Unlike everything else here, this works while some processes are stuck in an exchange of tensors that
    others will never join.
    """
    deadline = time.monotonic() + patience_seconds
    _count(what, 1)
    while _count(what, 0) < world.size:
        if time.monotonic() > deadline or another_ended():
            return False
        time.sleep(0.02)
    return True


def _has_joined() -> bool:
    """Whether this process has joined others, which is impossible without PyTorch."""
    return "torch" in sys.modules and bool(torch.distributed.is_initialized())


def _count(name: str, more: int) -> int:
    """Add to a counter that all processes share, kept by torchrun's own store."""
    return int(torch.distributed.distributed_c10d._get_default_store().add(name, more))


@functools.cache
def start_world() -> World:
    """Join the processes that torchrun started; without torchrun, a world of one, on the GPU if there is one.

    From then on, only the main process shows messages.

    Raises:
        InputError: more processes than GPUs on this machine.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or "RANK" not in os.environ:
        return World(place="")
    rank, local = int(os.environ["RANK"]), int(os.environ.get("LOCAL_RANK", "0"))
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        if local >= torch.cuda.device_count():
            raise InputError(
                f"process {local} of this machine has no GPU: there are {torch.cuda.device_count()}. "
                f"Use --nproc-per-node {torch.cuda.device_count()}"
            )
        torch.cuda.set_device(local)
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=_PATIENCE)
    if rank > 0:
        mute_messages()
    return World(rank, size, f"cuda:{local}" if on_gpu else "cpu")


def leave_world(status: int) -> NoReturn:
    """End a process that torchrun started, with the given exit status.

    Python's exit handlers run; C++'s do not, because a remaining thread of the process group occasionally
    aborts the process there (PyTorch 2.13), which torchrun would take for a failure.
    """
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
