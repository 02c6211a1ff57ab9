from .checkpoints import Retention
from .config import OptimizerConfig, ParallelConfig, Precision, PretrainConfig, snapshot_folder
from .hardware import cpu_flops_per_second, keep_freed_memory
from .losses import LossSum, linear_cross_entropy, row_chunks, token_logprobs
from .memory import (
    GIB,
    WORKSPACE_BYTES,
    activation_bytes_per_token,
    cache_bytes_per_token,
    kept_bytes,
    microbatch_that_fits,
    pretraining_bytes,
    step_bytes,
)
from .next_token import next_token_loss
from .nonfinite import NonFiniteError
from .optimizer import make_optimizer
from .parallel import Collective, SummedGradients
from .precision import autocast, best_device, synchronize
from .pretrain import FitResult, TrainingTokens, fit
from .sharing import give_way_when_busy
from .step import StepStats, optimizer_step
from .training_run import TrainingRun
from .world import World, all_left, another_ended, ends_first, leave_world, start_world

__all__ = [
    "GIB",
    "WORKSPACE_BYTES",
    "Collective",
    "FitResult",
    "LossSum",
    "NonFiniteError",
    "OptimizerConfig",
    "ParallelConfig",
    "Precision",
    "PretrainConfig",
    "Retention",
    "StepStats",
    "SummedGradients",
    "TrainingRun",
    "TrainingTokens",
    "World",
    "activation_bytes_per_token",
    "all_left",
    "another_ended",
    "autocast",
    "best_device",
    "cache_bytes_per_token",
    "cpu_flops_per_second",
    "ends_first",
    "fit",
    "give_way_when_busy",
    "keep_freed_memory",
    "kept_bytes",
    "leave_world",
    "linear_cross_entropy",
    "make_optimizer",
    "microbatch_that_fits",
    "next_token_loss",
    "optimizer_step",
    "pretraining_bytes",
    "row_chunks",
    "snapshot_folder",
    "start_world",
    "step_bytes",
    "synchronize",
    "token_logprobs",
]
