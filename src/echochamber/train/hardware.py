"""What the machine could compute at best, so that a run can report how close it comes."""

from __future__ import annotations

import ctypes
import functools
import platform
import time

import numpy as np

from echochamber.base.lazy import torch
from echochamber.model import ModelConfig, flops_per_token
from echochamber.train.precision import synchronize

# Dense bfloat16 matrix-product peaks in FLOP/s, from the makers' data sheets (without sparsity).
# Matched by substring in this order, longer names first.
_PEAKS = {
    "H200": 989e12,
    "H100 NVL": 835e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "B200": 2250e12,
    "A100": 312e12,
    "L40S": 362e12,
    "RTX 4090": 165e12,
}

# From glibc's malloc.h; blocks larger than the largest kept size still go back to the kernel.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_KEPT = 2**28


def peak_flops(device: torch.device, *, bfloat16: bool) -> float | None:
    """Matrix-product peak of a known GPU, in FLOP/s; None elsewhere.

    float32 runs on the TF32 units at half the bfloat16 rate, if they are enabled.
    """
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    peak = next((rate for known, rate in _PEAKS.items() if known in name), None)
    return peak if peak is None or bfloat16 else peak / 2


def matmul_flops_per_second(
    seconds: float = 0.3, *, device: torch.device | None = None, bfloat16: bool = False
) -> float:
    """Measured rate of a square matrix product in FLOP/s, in float32 unless `bfloat16` is set."""
    device = device or torch.device("cpu")
    width = 512 if device.type == "cpu" else 8192
    a = torch.ones(width, width, device=device, dtype=torch.bfloat16 if bfloat16 else torch.float32)
    torch.mm(a, a)
    synchronize(device)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        torch.mm(a, a)
        synchronize(device)
        count += 1
    return 2.0 * width**3 * count / (time.perf_counter() - start)


def cpu_flops_per_second(seconds: float = 0.3) -> float:
    """The CPU's rate in float32 as defined by `matmul_flops_per_second`, measured with NumPy alone."""
    a = np.ones((512, 512), dtype=np.float32)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        np.matmul(a, a)
        count += 1
    return 2.0 * len(a) ** 3 * count / (time.perf_counter() - start)


@functools.cache
def keep_freed_memory() -> bool:
    """Make glibc keep the memory of freed tensors for later ones; returns whether that was possible.

    By default it returns blocks of 32 MiB and more to the kernel at once and trims its heap often, so that
    every step pays for the same pages again: 2 to 7 % of a training step on a CPU. The process then never
    shrinks; peak memory is the same. Results do not depend on it.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT) and mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))


@functools.cache
def best_flops(device: torch.device, *, bfloat16: bool) -> float:
    """What one process could compute at best, in FLOP/s.

    This is the data sheet's peak for a known GPU; elsewhere the rate of a matrix product, measured once.
    """
    known = peak_flops(device, bfloat16=bfloat16)
    return matmul_flops_per_second(0.1, device=device, bfloat16=bfloat16) if known is None else known


def model_flops_utilization(
    tokens_per_second: float,
    config: ModelConfig,
    context: int,
    *,
    device: torch.device,
    bfloat16: bool,
    num_processes: int = 1,
) -> float:
    """MFU (Chowdhery et al. 2022, arXiv:2204.02311, app. B): arithmetic the model needs over `best_flops`.

    The arithmetic is 6 N plus attention (`flops_per_token`); what activation checkpointing recomputes is not
    counted. On a CPU the denominator is a measured rate, which good code can approach.

    Args:
        tokens_per_second: tokens trained per second by all processes together.
        context: tokens of a training sequence.
    """
    possible = best_flops(device, bfloat16=bfloat16) * num_processes
    return tokens_per_second * flops_per_token(config, context) / possible
