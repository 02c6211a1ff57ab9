"""Training: pure objectives, the one training step, optimiser, schedule, checkpoints, the resumable loop."""

from echochamber.train.checkpoints import Checkpoint, Retention, discard, newest, restore, save_checkpoint
from echochamber.train.logs import LogMark, MetricsLog, TimingLog, total_seconds
from echochamber.train.objectives import LossSum, cross_entropy, linear_cross_entropy, token_logprobs
from echochamber.train.optimizer import OptimizerConfig, learning_rate_at, make_optimizer, set_learning_rate
from echochamber.train.parallel import ParallelConfig, ParallelModel, World, start_world
from echochamber.train.pretrain import (
    Corpus,
    FitResult,
    PretrainConfig,
    autocast,
    fit,
    heldout_loss,
    next_token_loss,
)
from echochamber.train.run import Run
from echochamber.train.step import NonFiniteError, StepStats, train_step

__all__ = [
    "Checkpoint",
    "Corpus",
    "FitResult",
    "LogMark",
    "LossSum",
    "MetricsLog",
    "NonFiniteError",
    "OptimizerConfig",
    "ParallelConfig",
    "ParallelModel",
    "PretrainConfig",
    "Retention",
    "Run",
    "StepStats",
    "TimingLog",
    "World",
    "autocast",
    "cross_entropy",
    "discard",
    "fit",
    "heldout_loss",
    "learning_rate_at",
    "linear_cross_entropy",
    "make_optimizer",
    "newest",
    "next_token_loss",
    "restore",
    "save_checkpoint",
    "set_learning_rate",
    "start_world",
    "token_logprobs",
    "total_seconds",
    "train_step",
]
