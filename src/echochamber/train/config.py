"""How a model is trained from scratch, as specified in a study file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from echochamber.base import Config

Precision = Literal["auto", "float32", "bfloat16"]
"""Precision of matrix products: `auto` is bfloat16 autocast on a GPU and float32 elsewhere."""


class OptimizerConfig(Config):
    """AdamW (Loshchilov and Hutter, arXiv:1711.05101) with warm-up and a decay; the paper's betas and decay.

    Attributes:
        learning_rate: the peak.
        weight_decay: applied to every parameter, as in the paper.
        max_grad_norm: gradients are scaled down to this norm; None never clips.
        schedule: shape after the warm-up: cosine or linear to `final_fraction` of the peak, or constant.
        warmup_fraction: share of the steps that rise linearly to the peak.
        warmup_steps: the warm-up as a number of steps; overrides the fraction when given.
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
        """`max_grad_norm` in the form `optimizer_step` expects."""
        return math.inf if self.max_grad_norm is None else self.max_grad_norm


class ParallelConfig(Config):
    """How a model is spread over the processes of a torchrun job, and what trades memory for time.

    Attributes:
        strategy: `ddp` keeps a whole model in each process; `fsdp` shards weights, gradients and
            optimizer state (FSDP2). Without torchrun neither matters.
        activation_checkpointing: keep only the input of each block and recompute the rest in the backward
            pass: a third more arithmetic, a fraction of the activations.
        compile: compile each block with torch.compile.
    """

    strategy: Literal["ddp", "fsdp"] = "ddp"
    activation_checkpointing: bool = False
    compile: bool = False


class PretrainConfig(Config):
    """Pretraining: batches, steps, optimizer, and what is measured and kept along the way.

    Attributes:
        batch_size: sequences per optimizer step.
        sequence_length: tokens predicted per sequence.
        microbatch_size: sequences per forward pass of one process; None is its whole share. Gradients
            accumulate, so only memory and rounding depend on it.
        steps: optimizer steps; None is one pass over the mixture.
        optimizer: AdamW and its schedule.
        evaluate_every: steps between measurements of the held-out loss; the first and the last step
            are always measured.
        heldout_documents: documents measured per source.
        checkpoint_every: steps between checkpoints; does not affect the result.
        snapshots: numbers of steps after which the model is kept, for arms to start from (`start_step`).
        precision: of matrix products: `auto` is bfloat16 autocast on a GPU and float32 elsewhere.
        document_masking: a token sees only its own document, not earlier ones in its row. The paper
            does not do this; a GPU then uses a kernel that takes masks, which is slower than the causal one.
        parallel: how the model is spread over the processes of a torchrun job.
    """

    batch_size: int = Field(default=16, gt=0)
    sequence_length: int = Field(default=128, gt=0)
    microbatch_size: int | None = Field(default=None, gt=0)
    steps: int | None = Field(default=None, gt=0)
    optimizer: OptimizerConfig = OptimizerConfig()
    evaluate_every: int = Field(default=200, gt=0)
    heldout_documents: int = Field(default=64, gt=0)
    checkpoint_every: int = Field(default=200, gt=0)
    snapshots: tuple[int, ...] = ()
    precision: Precision = "auto"
    document_masking: bool = False
    parallel: ParallelConfig = ParallelConfig()

    @model_validator(mode="after")
    def _snapshots_rise(self) -> Self:
        if list(self.snapshots) != sorted({step for step in self.snapshots if step > 0}):
            raise ValueError(f"snapshots {list(self.snapshots)}: expected rising numbers of steps, 1 or more")
        if self.steps is not None:
            check_snapshots(self.snapshots, self.steps)
        return self


def check_snapshots(snapshots: Sequence[int], total_steps: int) -> None:
    """Refuse snapshots that would never be taken; the last step's model is kept anyway.

    Raises:
        ValueError: one of them is not below the number of steps.
    """
    late = [step for step in snapshots if step >= total_steps]
    if late:
        raise ValueError(
            f"snapshots {late}: pretraining has {total_steps} steps, and its last model is kept anyway; "
            "name earlier steps"
        )


def snapshot_folder(folder: Path, step: int) -> Path:
    """Where `fit` keeps the model after `step` steps."""
    return folder / "snapshots" / f"step-{step:08d}"
