"""Clocks, the machine's own speed, and comparisons made in turns."""

from __future__ import annotations

import gc
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from echochamber.base import InputError


@dataclass(frozen=True)
class Settings:
    """How a bench is run.

    Attributes:
        repeats: timed pairs (ours, then the peer), after one untimed pair.
        sizes: model sizes to measure; None is the bench's own choice.
        quick: small numbers of everything, to see that it runs; the timings mean nothing.
    """

    repeats: int = 5
    sizes: tuple[str, ...] | None = None
    quick: bool = False


@dataclass(frozen=True)
class Rates:
    """What the machine does at best, measured just before a comparison.

    Attributes:
        flops_per_second: of a large matrix product in the dtype of the bench.
        copy_bytes_per_second: bytes read plus bytes written by a large copy.
    """

    flops_per_second: float
    copy_bytes_per_second: float


def device() -> torch.device:
    """Where benches run: the GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def dtype() -> torch.dtype:
    """The dtype benches compute in: bfloat16 on a GPU, float32 on a CPU, where bfloat16 is far slower."""
    return torch.bfloat16 if device().type == "cuda" else torch.float32


def synchronise() -> None:
    """Wait until the GPU has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seconds_of(work: Callable[[], object]) -> float:
    """Wall-clock seconds of one call, without garbage collection in between."""
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        synchronise()
        start = time.perf_counter()
        work()
        synchronise()
        return time.perf_counter() - start
    finally:
        if enabled:
            gc.enable()


def measure_rates(*, quick: bool = False) -> Rates:
    """Best of several large matrix products and copies, on all threads."""
    width = 256 if quick else (8192 if device().type == "cuda" else 2048)
    a = torch.randn(width, width, device=device(), dtype=dtype())
    b = torch.randn(width, width, device=device(), dtype=dtype())
    product = torch.empty_like(a)
    source = torch.empty(2**20 if quick else 2**26, dtype=torch.uint8, device=device()).fill_(1)
    target = torch.empty_like(source)
    repeats = 3 if quick else 8
    product_seconds = min(seconds_of(lambda: torch.mm(a, b, out=product)) for _ in range(repeats))
    copy_seconds = min(seconds_of(lambda: target.copy_(source)) for _ in range(repeats))
    return Rates(2 * width**3 / product_seconds, 2 * source.numel() / copy_seconds)


def in_turns(
    ours: Callable[[int], object], peer: Callable[[int], object], repeats: int
) -> tuple[list[float], list[float]]:
    """Seconds of both, alternately, so that a slow phase of the machine meets both.

    Each is called once untimed; the argument counts the repetition.
    """
    ours(repeats)
    peer(repeats)
    our_seconds, peer_seconds = [], []
    for repeat in range(repeats):
        our_seconds.append(seconds_of(lambda r=repeat: ours(r)))  # type: ignore[misc]
        peer_seconds.append(seconds_of(lambda r=repeat: peer(r)))  # type: ignore[misc]
    return our_seconds, peer_seconds


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    return {
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if device().type == "cuda" else "cpu",
        "dtype": str(dtype()).removeprefix("torch."),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def comparison(
    our_seconds: Sequence[float],
    peer_seconds: Sequence[float],
    *,
    peer: str,
    version: str,
    floor_seconds: float | None = None,
) -> dict[str, Any]:
    """The numbers every row has: medians, spread, ratio per pair (peer seconds / our seconds).

    `floor_fraction` is the floor over our median: the share of what the machine could do at best.
    """
    ratios = [theirs / ours for ours, theirs in zip(our_seconds, peer_seconds, strict=True)]
    row: dict[str, Any] = {
        "ours": _summary(our_seconds),
        "peer": {"name": peer, "version": version, **_summary(peer_seconds)},
        "ratio": statistics.median(ratios),
        "ratios": ratios,
    }
    if floor_seconds is not None:
        row["floor_seconds"] = floor_seconds
        row["floor_fraction"] = floor_seconds / row["ours"]["median_seconds"]
    return row


def _summary(seconds: Sequence[float]) -> dict[str, float]:
    return {
        "median_seconds": statistics.median(seconds),
        "least_seconds": min(seconds),
        "most_seconds": max(seconds),
    }


def peer_library(name: str) -> Any:
    """Import a peer's package.

    Raises:
        InputError: it is not installed.
    """
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(
            f"this bench compares with {name}, which is not installed. Install the peers with: make bench"
        ) from error
