"""Pretraining: token batches in, a trained model and its loss curve out."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from echochamber.base import InputError, Progress, digest, progress
from echochamber.model import Transformer, save_state
from echochamber.train.config import PretrainConfig, check_snapshots, snapshot_folder
from echochamber.train.hardware import best_flops, model_flops_utilization
from echochamber.train.logs import total_seconds
from echochamber.train.losses import LossSum
from echochamber.train.next_token import TokenRows, document_mask, heldout_loss, next_token_loss
from echochamber.train.optimizer import make_optimizer
from echochamber.train.parallel import ParallelModel, gather_tensors
from echochamber.train.precision import autocast, uses_bfloat16
from echochamber.train.step import optimizer_step
from echochamber.train.training_run import METRICS, TIMING, TrainingRun
from echochamber.train.world import World, start_world

# Steps between updates of the progress display; each costs a fraction of a millisecond.
SHOW_EVERY = 5


class TrainingTokens(Protocol):
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


@dataclass(frozen=True)
class FitResult:
    """The result of pretraining.

    Attributes:
        num_steps: optimizer steps.
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
    """Detects a loss far above its recent values: above mean + 6 x mean absolute deviation, both moving.

    The state is a plain dictionary, so that it can be stored in a checkpoint.
    """

    decay = 0.95
    patience_steps = 20

    def __init__(self, state: dict[str, float]) -> None:
        self.state = state
        for name in ("seen", "mean", "deviation"):
            state.setdefault(name, 0.0)

    def __call__(self, loss: float) -> bool:
        """Whether `loss` is a spike; afterwards updates the state with it."""
        state = self.state
        above = loss - state["mean"]
        spike = state["seen"] >= self.patience_steps and above > 6 * state["deviation"]
        keep = min(self.decay, state["seen"] / (state["seen"] + 1))
        state["deviation"] = keep * state["deviation"] + (1 - keep) * (abs(above) if state["seen"] else 0.0)
        state["mean"] += (1 - keep) * above
        state["seen"] += 1
        return spike


def fit(
    model: Transformer,
    data: TrainingTokens,
    config: PretrainConfig,
    folder: Path,
    *,
    seed: int,
    eos_id: int | None = None,
) -> FitResult:
    """Train `model` in place on `data`, resuming from `folder/checkpoints` if there are any.

    Writes `metrics.jsonl`: one row per step (`step` completed steps, `tokens` seen, `loss` in nats per
    token, `learning_rate`, `grad_norm`, `loss_spike`, at times `heldout` {source: loss}), `timing.jsonl`,
    and the model folders of `config.snapshots` (see `snapshot_folder`). On CPU with an unchanged build and
    thread count a run that was killed and resumed ends with the same weights and the same metrics, byte
    for byte. The checkpoints stay in `folder`.

    `timing.jsonl` has `tokens_per_second` and `mfu` of every step (see `model_flops_utilization`).

    Args:
        model: initialized for `seed`; it is moved to this process's device, and its state is replaced when
            resuming.
        eos_id: token that ends a document; needed for `document_masking` only.

    Raises:
        NonFiniteError: naming step, batch and last checkpoint.
        Interrupted: SIGINT or SIGTERM; the finished step is in a checkpoint.
        EchoError: `folder` holds checkpoints of another config, data or seed, or memory ran out.
        InputError: the batch cannot be divided among the processes of a torchrun job, a snapshot is asked
            for that lies beyond the last step, or documents are to be masked and `eos_id` is missing.
    """
    trainer = _Trainer(model, data, config, start_world(), seed=seed, eos_id=eos_id)
    run = trainer.training_run(folder)
    with run, progress("pretrain", run.total_steps) as display:
        if run.step == 0:
            run.log({"step": 0, "tokens": 0, "heldout": trainer.measure()})
        is_spike, seconds = SpikeDetector(run.extras["spike"]), 0.0
        for step in run.steps():
            run.batch = trainer.batch_name(step)
            row = trainer.step(step)
            row["loss_spike"] = is_spike(row["loss"])
            run.log(row)
            if step + 1 in config.snapshots:
                trainer.keep(snapshot_folder(folder, step + 1))
            took = run.log_timing({"step": step + 1, "tokens": trainer.tokens_per_step}, trainer.speed)
            seconds = took if seconds == 0 else 0.9 * seconds + 0.1 * took
            if (step + 1) % SHOW_EVERY == 0 or step + 1 == run.total_steps:
                trainer.show(display, step + 1, row["loss"], seconds)
    return trainer.finish(folder)


class _Trainer:
    """What the loop of pretraining does in one step, and what the steps share."""

    def __init__(
        self,
        model: Transformer,
        data: TrainingTokens,
        config: PretrainConfig,
        world: World,
        *,
        seed: int,
        eos_id: int | None,
    ) -> None:
        if config.document_masking and eos_id is None:
            raise InputError("document_masking is true and fit was given no eos_id; pass the tokenizer's")
        self.model, self.data, self.config, self.world = model, data, config, world
        self.seed, self.eos_id = seed, eos_id
        self.rows = world.rows(config.batch_size, "pretrain.batch_size")
        self.total_steps = config.steps or data.steps(config.batch_size, config.sequence_length)
        try:
            check_snapshots(config.snapshots, self.total_steps)
        except ValueError as error:
            raise InputError(f"pretrain.{error}") from error
        self.parallel = ParallelModel(model, self._loss, config.parallel, world)
        self.optimizer = make_optimizer(self.parallel.trained, config.optimizer)
        self.device = next(self.parallel.trained.parameters()).device
        self.bfloat16 = uses_bfloat16(self.device, config.precision)
        # Measured now if necessary, so that no step's clock includes it.
        best_flops(self.device, bfloat16=self.bfloat16)
        self.local_batch = config.batch_size // world.size
        self.microbatch = config.microbatch_size or self.local_batch
        self.tokens_per_step = config.batch_size * config.sequence_length
        self.documents = {
            source: list(itertools.islice(data.heldout(source), config.heldout_documents))
            for source in data.sources
        }

    def training_run(self, folder: Path) -> TrainingRun:
        """The resumable loop in that folder."""
        config, data = self.config, self.data
        first = hashlib.sha256(self._batch(0).tobytes()).hexdigest()
        run = TrainingRun(
            folder,
            total_steps=self.total_steps,
            modules={"model": self.parallel.trained},
            optimizers={"model": self.optimizer},
            extras={"spike": {}},
            fingerprints={
                "config": digest(config.model_dump(mode="json", exclude={"checkpoint_every"})),
                "data": digest([data.num_tokens, list(data.sources), first]),
                "seed": str(self.seed),
            },
            checkpoint_every=config.checkpoint_every,
            world=self.world,
        )
        run.memory_advice = self._memory_advice()
        return run

    def _batch(self, step: int) -> np.ndarray:
        size, length = self.config.batch_size, self.config.sequence_length
        return self.data.batch(step, batch_size=size, sequence_length=length, seed=self.seed)

    def batch_name(self, step: int) -> str:
        """How an error names the batch of a step."""
        size, length = self.config.batch_size, self.config.sequence_length
        return f"batch {step} of seed {self.seed} ({size} x {length} tokens)"

    def _loss(self, model: Transformer, batch: TokenRows) -> LossSum:
        with autocast(self.device, self.config.precision):
            return next_token_loss(model, *batch)

    def step(self, step: int) -> dict[str, Any]:
        """Train on this process's rows of one batch; returns the row to log."""
        config, size = self.config, self.microbatch
        tokens_BT = torch.from_numpy(self._batch(step)[self.rows]).to(self.device, non_blocking=True)
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

    def _microbatch(self, tokens_BT: Tensor) -> TokenRows:
        if not self.config.document_masking or self.eos_id is None:
            return tokens_BT, None, None
        return tokens_BT, None, document_mask(tokens_BT[:, :-1], self.eos_id)

    def keep(self, folder: Path) -> None:
        """Write the model as it is now, before the checkpoint that lets a restart skip this step."""
        state = gather_tensors(self.parallel.trained.state_dict(), self.world)
        self.world.on_main(lambda: save_state(state, self.model.config, folder))

    def measure(self) -> dict[str, float]:
        """Held-out loss of each source; every process measures all of it."""
        return {
            source: heldout_loss(
                self.parallel.loss,
                documents,
                self.device,
                sequence_length=self.config.sequence_length,
                batch_size=self.config.batch_size,
            )
            for source, documents in self.documents.items()
        }

    def speed(self, seconds_per_step: float) -> dict[str, float]:
        """Tokens per second of all processes, and model FLOPs utilization."""
        rate = self.tokens_per_step / seconds_per_step
        mfu = model_flops_utilization(
            rate,
            self.model.config,
            self.config.sequence_length,
            device=self.device,
            bfloat16=self.bfloat16,
            num_processes=self.world.size,
        )
        return {"tokens_per_second": rate, "mfu": mfu}

    def show(self, display: Progress, done: int, loss: float, seconds_per_step: float) -> None:
        """Update the progress display after `done` steps."""
        speed = self.speed(seconds_per_step)
        rate = speed["tokens_per_second"]
        display.update(done, loss=loss, tokens_per_second=rate, MFU=f"{speed['mfu']:.1%}")

    def finish(self, folder: Path) -> FitResult:
        """Copy the weights back into the model, and return the result of training."""
        self.parallel.finish()
        return self.world.on_main(lambda: self._result(folder))

    def _result(self, folder: Path) -> FitResult:
        last = json.loads((folder / METRICS).read_bytes().splitlines()[-1])
        return FitResult(
            num_steps=self.total_steps,
            num_tokens=self.total_steps * self.tokens_per_step,
            loss=last["loss"],
            heldout=last["heldout"],
            seconds=total_seconds(folder / TIMING),
        )

    def _memory_advice(self) -> str:
        """The settings that would make training fit in memory."""
        size, advice = self.microbatch, []
        if size > 1:
            advice.append(
                f"set pretrain.microbatch_size to {size // 2} (now {size}; the result stays the same)"
            )
        if not self.config.parallel.activation_checkpointing:
            advice.append("set pretrain.parallel.activation_checkpointing to true")
        if self.config.parallel.strategy == "ddp":
            advice.append("shard over several GPUs with pretrain.parallel.strategy fsdp")
        return ", or ".join(advice) or "use a GPU with more memory or a smaller model"
