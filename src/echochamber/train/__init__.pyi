from .checkpoints import Checkpoint, Retention, discard, newest, restore, save_checkpoint
from .hardware import (
    best_flops,
    keep_freed_memory,
    matmul_flops_per_second,
    model_flops_utilisation,
    peak_flops,
)
from .logs import LogMark, MetricsLog, TimingLog, total_seconds
from .memory import GIB, activation_bytes_per_token, microbatch_that_fits, pretraining_bytes
from .next_token import document_mask, heldout_loss, next_token_loss
from .objectives import LossSum, cross_entropy, linear_cross_entropy, token_logprobs
from .optimizer import OptimizerConfig, learning_rate_at, make_optimizer, set_learning_rate
from .parallel import ParallelConfig, ParallelModel, SummedGradients
from .pretrain import (
    Corpus,
    FitResult,
    PretrainConfig,
    autocast,
    fit,
    silent,
    snapshot_folder,
    uses_bfloat16,
)
from .run import Run
from .sharing import give_way_when_busy
from .step import Collective, NonFiniteError, StepStats, optimizer_step, train_step
from .world import World, all_left, another_ended, ends_first, leave_world, start_world

__all__ = [
    "GIB",
    "Checkpoint",
    "Collective",
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
    "SummedGradients",
    "TimingLog",
    "World",
    "activation_bytes_per_token",
    "all_left",
    "another_ended",
    "autocast",
    "best_flops",
    "cross_entropy",
    "discard",
    "document_mask",
    "ends_first",
    "fit",
    "give_way_when_busy",
    "heldout_loss",
    "keep_freed_memory",
    "learning_rate_at",
    "leave_world",
    "linear_cross_entropy",
    "make_optimizer",
    "matmul_flops_per_second",
    "microbatch_that_fits",
    "model_flops_utilisation",
    "newest",
    "next_token_loss",
    "optimizer_step",
    "peak_flops",
    "pretraining_bytes",
    "restore",
    "save_checkpoint",
    "set_learning_rate",
    "silent",
    "snapshot_folder",
    "start_world",
    "token_logprobs",
    "total_seconds",
    "train_step",
    "uses_bfloat16",
]
