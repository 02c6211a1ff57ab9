"""The error of a training step whose numbers are not finite."""

from __future__ import annotations

from echochamber.base import EchoError


class NonFiniteError(EchoError):
    """A loss or gradient is NaN or infinite; the parameters are as they were before the step.

    `optimizer_step` knows what went wrong; the loop around it knows where, which `located` adds.
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
        """The same error with its location; parts that are already known are kept."""
        return NonFiniteError(
            self.what,
            step=step if self.step is None else self.step,
            batch=self.batch or batch,
            checkpoint=self.checkpoint or checkpoint,
        )
