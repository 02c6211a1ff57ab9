from .checkpoints import Checkpoint, Retention, discard, newest, restore, save_checkpoint
from .config import (
    OptimizerConfig,
    ParallelConfig,
    Precision,
    PretrainConfig,
    check_snapshots,
    snapshot_folder,
)
from .hardware import (
    best_flops,
    keep_freed_memory,
    matmul_flops_per_second,
    model_flops_utilization,
    peak_flops,
)
from .logs import LogMark, MetricsLog, TimingLog, total_seconds
from .losses import LossSum, linear_cross_entropy, row_chunks, token_logprobs
from .memory import GIB, activation_bytes_per_token, microbatch_that_fits, pretraining_bytes
from .next_token import document_mask, heldout_loss, next_token_loss
from .optimizer import learning_rate_at, make_optimizer, set_learning_rate
from .parallel import ParallelModel, SummedGradients
from .precision import autocast, best_device, synchronize, uses_bfloat16
from .pretrain import FitResult, TrainingTokens, fit
from .sharing import give_way_when_busy
from .step import Collective, NonFiniteError, StepStats, optimizer_step, train_step
from .training_run import TrainingRun
from .world import World, all_left, another_ended, ends_first, leave_world, start_world

__all__ = [
    "GIB",
    "Checkpoint",
    "Collective",
    "FitResult",
    "LogMark",
    "LossSum",
    "MetricsLog",
    "NonFiniteError",
    "OptimizerConfig",
    "ParallelConfig",
    "ParallelModel",
    "Precision",
    "PretrainConfig",
    "Retention",
    "StepStats",
    "SummedGradients",
    "TimingLog",
    "TrainingRun",
    "TrainingTokens",
    "World",
    "activation_bytes_per_token",
    "all_left",
    "another_ended",
    "autocast",
    "best_device",
    "best_flops",
    "check_snapshots",
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
    "model_flops_utilization",
    "newest",
    "next_token_loss",
    "optimizer_step",
    "peak_flops",
    "pretraining_bytes",
    "restore",
    "row_chunks",
    "save_checkpoint",
    "set_learning_rate",
    "snapshot_folder",
    "start_world",
    "synchronize",
    "token_logprobs",
    "total_seconds",
    "train_step",
    "uses_bfloat16",
]
