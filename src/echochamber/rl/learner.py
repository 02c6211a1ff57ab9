"""What the loop sees of an algorithm: state to save, and a step that returns a row of metrics."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from echochamber import train
from echochamber.base.lazy import torch
from echochamber.corpora import NOTHING_RESERVED, Reserved
from echochamber.train import Precision, World, autocast, microbatch_that_fits

if TYPE_CHECKING:
    from echochamber.base import Problem
    from echochamber.corpora import Tokenizer
    from echochamber.model import Policy
    from echochamber.rollout import Engine
    from echochamber.train import Collective
    from echochamber.verify import Grader


@dataclass(frozen=True)
class Context:
    """What a learner works with.

    Attributes:
        policy: the weights to train, at the start of the arm; changed in place.
        problems: questions to train on; empty for algorithms that need none.
        engine: samples from the policy once given its weights.
        folder: folder of the run; a learner may keep its own files here, written atomically.
        seed: root of all randomness.
        reserved: identities that no training document may have.
        world: the processes of a torchrun job. Each samples, grades and differentiates its part of a step;
            every process computes rewards and advantages of the whole step.
        precision: precision of matrix products in the updates: `auto` is bfloat16 autocast on a GPU.
    """

    policy: Policy
    tokenizer: Tokenizer
    problems: Sequence[Problem]
    grader: Grader
    engine: Engine
    folder: Path
    seed: int
    reserved: Reserved = NOTHING_RESERVED
    world: World = field(default_factory=World)
    precision: Precision = "auto"

    @property
    def device(self) -> torch.device:
        """Where the policy lives."""
        return next(self.policy.parameters()).device

    @property
    def collective(self) -> Collective | None:
        """The other processes, in the form that `optimizer_step` takes; None for a single process."""
        return train.SummedGradients(self.world) if self.world.size > 1 else None

    def autocast(self) -> AbstractContextManager[Any]:
        """The context of forward passes in updates."""
        return autocast(self.device, self.precision)

    def microbatch_tokens(self, wanted: int | None) -> int:
        """Tokens that go through the model at once: as configured, or a number that is fast on this device.

        On a CPU small microbatches are faster: rows of similar length share one, so there is less padding
        (5,200 instead of 6,100 tokens for the default study's rollout), and activations stay in the caches.
        """
        return wanted or (1024 if self.device.type == "cpu" else microbatch_that_fits(self.policy.config))


class Learner(ABC):
    """One algorithm at work.

    The loop saves and restores `modules`, `optimizers` and `extras`. `step`
    must depend only on those, the step number and the context, so that a run that
    was killed repeats itself exactly.

    Attributes:
        modules: trained weights, the policy among them under the name `policy`.
        optimizers: the optimizers of those modules, under the same names.
        extras: state that JSON can hold; the loop replaces its contents on resume.
        seconds: where the time of the current step went, by name.
        batch_name: what the current step works on, for the message if a loss is not finite.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.modules: dict[str, torch.nn.Module] = {"policy": context.policy}
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.extras: dict[str, Any] = {"samples_seen": 0}
        self.seconds: dict[str, float] = {}
        self.batch_name = ""

    @abstractmethod
    def step(self, step: int) -> dict[str, Any]:
        """Take step number `step`, counted from 0, and return its row of metrics.

        Raises:
            NonFiniteError: a loss or gradient is NaN or infinite; nothing was updated.
        """

    def check_weights(self) -> None:
        """Refuse to sample from weights that are not finite, which would fail far from the cause.

        Raises:
            NonFiniteError: a weight of the policy is NaN or infinite.
        """
        for name, parameter in self.context.policy.named_parameters():
            if not bool(torch.isfinite(parameter.sum())) and not bool(torch.isfinite(parameter).all()):
                raise train.NonFiniteError(f"the policy's {name} holds values that are not finite")

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Add the wall-clock seconds of the block to `seconds[name]`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
