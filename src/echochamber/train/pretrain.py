"""Pretraining: token batches in, a trained model and its loss curve out."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from echochamber.base import Config, InputError, Progress, digest, progress
from echochamber.model import Transformer, save_state
from echochamber.train.hardware import best_flops, model_flops_utilisation
from echochamber.train.logs import total_seconds
from echochamber.train.next_token import Batch, document_mask, mean_loss, next_token_loss
from echochamber.train.objectives import LossSum
from echochamber.train.optimizer import OptimizerConfig, make_optimizer
from echochamber.train.parallel import ParallelConfig, ParallelModel, gather_tensors
from echochamber.train.run import METRICS, TIMING, Run
from echochamber.train.step import optimizer_step
from echochamber.train.world import World, start_world

# Steps between updates of the progress display; each costs a fraction of a millisecond.
SHOW_EVERY = 5


class Corpus(Protocol):
    """What `fit` needs of the training data; `corpora.TokenData` is one."""

    @property
    def num_tokens(self) -> int:
        """Tokens of one pass."""

    @property
    def sources(self) -> Sequence[str]:
        """Names of the sources of the mixture."""

    def steps(self, batch_size: int, sequence_length: int) -> int:
        """Number of batches in one pass."""

    def batch(self, step: int, *, batch_size: int, sequence_length: int, seed: int) -> np.ndarray:
        """Tokens (batch_size, sequence_length + 1), int64; a function of the arguments alone."""

    def heldout(self, source: str) -> Iterable[np.ndarray]:
        """Documents of that source that no batch contains, each a row of token ids."""


class PretrainConfig(Config):
    """How a model is trained from scratch.

    Attributes:
        batch_size: sequences per optimiser step.
        sequence_length: tokens predicted per sequence.
        microbatch_size: sequences per forward pass of one process; None is its whole share. Gradients
            accumulate, so only memory and rounding depend on it.
        steps: optimiser steps; None is one pass over the mixture.
        optimizer: AdamW and its schedule.
        evaluate_every: steps between measurements of the held-out loss; the first and the last step
            are always measured.
        heldout_documents: documents measured per source.
        checkpoint_every: steps between checkpoints; does not affect the result.
        snapshots: numbers of steps after which the model is kept, for arms to start from (`start_step`).
        precision: `auto` is bfloat16 autocast on a GPU and float32 elsewhere.
        document_masking: a token sees only its own document, not those before it in its row. The paper
            has none; a GPU then uses a kernel that takes masks, which is slower than the causal one.
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
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
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


@dataclass(frozen=True)
class FitResult:
    """What pretraining ended with.

    Attributes:
        num_steps: optimiser steps.
        num_tokens: tokens seen.
        loss: training loss of the last step, nats per token.
        heldout: held-out loss per source after the last step, nats per token.
        seconds: compute time, over all restarts.
    """

    num_steps: int
    num_tokens: int
    loss: float
    heldout: dict[str, float]
    seconds: float


class SpikeDetector:
    """Marks a loss far above its recent course: above mean + 6 x mean absolute deviation, both moving.

    The state is a plain dictionary, so that it can live in a checkpoint.
    """

    decay = 0.95
    patience_steps = 20

    def __init__(self, state: dict[str, float]) -> None:
        self.state = state
        for name in ("seen", "mean", "deviation"):
            state.setdefault(name, 0.0)

    def __call__(self, loss: float) -> bool:
        """Whether `loss` is a spike; then takes it into account."""
        state = self.state
        above = loss - state["mean"]
        spike = state["seen"] >= self.patience_steps and above > 6 * state["deviation"]
        keep = min(self.decay, state["seen"] / (state["seen"] + 1))
        state["deviation"] = keep * state["deviation"] + (1 - keep) * (abs(above) if state["seen"] else 0.0)
        state["mean"] += (1 - keep) * above
        state["seen"] += 1
        return spike


def uses_bfloat16(device: torch.device, precision: str) -> bool:
    """Whether matrix products run in bfloat16."""
    return precision == "bfloat16" or (precision == "auto" and device.type == "cuda")


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """The context for forward passes: bfloat16 matrix products, or nothing."""
    if uses_bfloat16(device, precision):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


def _fingerprints(config: PretrainConfig, data: Corpus, first: np.ndarray, seed: int) -> dict[str, str]:
    return {
        "config": digest(config.model_dump(mode="json", exclude={"checkpoint_every"})),
        "data": digest([data.num_tokens, list(data.sources), hashlib.sha256(first.tobytes()).hexdigest()]),
        "seed": str(seed),
    }


def fit(
    model: Transformer,
    data: Corpus,
    config: PretrainConfig,
    folder: Path,
    *,
    seed: int,
    eos_id: int | None = None,
    show: Callable[[str, int], AbstractContextManager[Progress]] = progress,
) -> FitResult:
    """Train `model` in place on `data`, resuming from `folder/checkpoints` if there is something.

    Writes `metrics.jsonl`: one row per step (`step` completed steps, `tokens` seen, `loss` in nats per
    token, `learning_rate`, `grad_norm`, `loss_spike`, at times `heldout` {source: loss}), `timing.jsonl`,
    and the model folders of `config.snapshots` (see `snapshot_folder`). On CPU with an unchanged build and
    thread count a run that was killed and resumed ends with the same weights and the same metrics, byte
    for byte. The checkpoints stay: `discard` them once the result is safe.

    `timing.jsonl` has `tokens_per_second` and `mfu` of every step (see `model_flops_utilisation`).

    Args:
        model: as initialised for `seed`; it moves to this process's device, and its state is replaced when
            resuming.
        eos_id: token that ends a document; needed for `document_masking` only.

    Raises:
        NonFiniteError: naming step, batch and last checkpoint.
        Interrupted: SIGINT or SIGTERM; the finished step is in a checkpoint.
        EchoError: `folder` holds checkpoints of another config, data or seed, or memory ran out.
        InputError: the batch cannot be divided among the processes of a torchrun job, a snapshot is asked
            for that lies beyond the last step, or documents are to be masked and nobody said where they end.
    """
    world = start_world()
    if config.document_masking and eos_id is None:
        raise InputError("document_masking is true and fit was given no eos_id; pass the tokenizer's")
    rows = world.rows(config.batch_size, "pretrain.batch_size")
    total_steps = config.steps or data.steps(config.batch_size, config.sequence_length)
    try:
        check_snapshots(config.snapshots, total_steps)
    except ValueError as error:
        raise InputError(f"pretrain.{error}") from error

    def batch(step: int) -> np.ndarray:
        return data.batch(
            step, batch_size=config.batch_size, sequence_length=config.sequence_length, seed=seed
        )

    trainer = _Trainer(model, data, config, total_steps, world, eos_id)
    run = Run(
        folder,
        total_steps=total_steps,
        modules={"model": trainer.parallel.trained},
        optimizers={"model": trainer.optimizer},
        extras={"spike": {}},
        fingerprints=_fingerprints(config, data, batch(0), seed),
        checkpoint_every=config.checkpoint_every,
        world=world,
    )
    run.memory_advice = trainer.memory_advice()
    with run, show("pretrain", total_steps) if world.is_main else silent() as display:
        if run.step == 0:
            run.log({"step": 0, "tokens": 0, "heldout": trainer.measure()})
        detector = SpikeDetector(run.extras["spike"])
        seconds = 0.0
        for step in run.steps():
            run.batch = f"batch {step} of seed {seed} ({config.batch_size} x {config.sequence_length} tokens)"
            row = trainer.step(step, batch(step)[rows])
            row["loss_spike"] = detector(row["loss"])
            run.log(row)
            if step + 1 in config.snapshots:
                trainer.keep(model, snapshot_folder(folder, step + 1))
            took = run.log_timing({"step": step + 1, "tokens": trainer.tokens_per_step}, trainer.speed)
            seconds = took if seconds == 0 else 0.9 * seconds + 0.1 * took
            if (step + 1) % SHOW_EVERY == 0 or step + 1 == total_steps:
                speed = trainer.speed(seconds)
                rate, mfu = speed["tokens_per_second"], f"{speed['mfu']:.1%}"
                display.update(step + 1, loss=row["loss"], tokens_per_second=rate, MFU=mfu)
    trainer.parallel.finish()
    return world.on_main(lambda: _result(folder, total_steps, trainer.tokens_per_step))


class _Silent:
    def update(self, completed: int, **fields: float | str) -> None:
        """Only the main process shows progress."""


def silent() -> AbstractContextManager[Progress]:
    """Progress that nobody sees: that of every process but the main one."""
    return contextlib.nullcontext(_Silent())


def _result(folder: Path, num_steps: int, tokens_per_step: int) -> FitResult:
    last = json.loads((folder / METRICS).read_bytes().splitlines()[-1])
    return FitResult(
        num_steps=num_steps,
        num_tokens=num_steps * tokens_per_step,
        loss=last["loss"],
        heldout=last["heldout"],
        seconds=total_seconds(folder / TIMING),
    )


class _Trainer:
    """One step of pretraining and one measurement, with what they share."""

    def __init__(
        self,
        model: Transformer,
        data: Corpus,
        config: PretrainConfig,
        total_steps: int,
        world: World,
        eos_id: int | None,
    ) -> None:
        self.config, self.total_steps, self.world = config, total_steps, world
        self.eos_id, self.shape = eos_id, model.config
        self.parallel = ParallelModel(model, self._loss, config.parallel, world)
        self.optimizer = make_optimizer(self.parallel.trained, config.optimizer)
        self.device = next(self.parallel.trained.parameters()).device
        # Measured now where it must be, so that no step's clock includes it.
        best_flops(self.device, bfloat16=uses_bfloat16(self.device, config.precision))
        self.local_batch = config.batch_size // world.size
        self.tokens_per_step = config.batch_size * config.sequence_length
        self.documents = {
            source: list(itertools.islice(data.heldout(source), config.heldout_documents))
            for source in data.sources
        }

    def _loss(self, model: Transformer, batch: Batch) -> LossSum:
        with autocast(self.device, self.config.precision):
            return next_token_loss(model, *batch)

    def step(self, step: int, rows: np.ndarray) -> dict[str, Any]:
        """Train on this process's rows of one batch; returns the row to log."""
        config = self.config
        size = config.microbatch_size or self.local_batch
        tokens_BT = torch.from_numpy(rows).to(self.device, non_blocking=True)
        stats = optimizer_step(
            self.parallel.trained,
            self.optimizer,
            config.optimizer,
            [self._microbatch(tokens_BT[i : i + size]) for i in range(0, self.local_batch, size)],
            self.parallel.loss,
            number=step,
            total=self.total_steps,
            normalizer=self.tokens_per_step,
            collective=self.parallel if self.world.size > 1 else None,
        )
        done = step + 1
        row: dict[str, Any] = {
            "step": done,
            "tokens": done * self.tokens_per_step,
            "loss": stats.loss,
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "grad_norm": stats.grad_norm,
        }
        if done % config.evaluate_every == 0 or done == self.total_steps:
            row["heldout"] = self.measure()
        return row

    def _microbatch(self, tokens_BT: Tensor) -> Batch:
        if not self.config.document_masking or self.eos_id is None:
            return tokens_BT, None, None
        return tokens_BT, None, document_mask(tokens_BT[:, :-1], self.eos_id)

    def keep(self, model: Transformer, folder: Path) -> None:
        """Write the model as it is now, before the checkpoint that lets a restart skip this step."""
        state = gather_tensors(self.parallel.trained.state_dict(), self.world)
        self.world.on_main(lambda: save_state(state, model.config, folder))

    def measure(self) -> dict[str, float]:
        """Held-out loss of each source; every process measures all of it."""
        return {
            source: mean_loss(
                self.parallel.loss,
                documents,
                self.device,
                sequence_length=self.config.sequence_length,
                batch_size=self.config.batch_size,
            )
            for source, documents in self.documents.items()
        }

    def speed(self, seconds_per_step: float) -> dict[str, float]:
        """Tokens a second of all processes, and model FLOPs utilisation."""
        rate = self.tokens_per_step / seconds_per_step
        mfu = model_flops_utilisation(
            rate,
            self.shape,
            self.config.sequence_length,
            device=self.device,
            bfloat16=uses_bfloat16(self.device, self.config.precision),
            num_processes=self.world.size,
        )
        return {"tokens_per_second": rate, "mfu": mfu}

    def memory_advice(self) -> str:
        """The settings that would make this fit."""
        size = self.config.microbatch_size or self.local_batch
        advice = []
        if size > 1:
            advice.append(
                f"set pretrain.microbatch_size to {size // 2} (now {size}; the result stays the same)"
            )
        if not self.config.parallel.activation_checkpointing:
            advice.append("set pretrain.parallel.activation_checkpointing to true")
        if self.config.parallel.strategy == "ddp":
            advice.append("shard over several GPUs with pretrain.parallel.strategy fsdp")
        return ", or ".join(advice) or "use a GPU with more memory or a smaller model"
