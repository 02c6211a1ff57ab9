"""Clocks, the machine's own speed, and comparisons of two sides that alternate."""

from __future__ import annotations

import gc
import importlib
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from echochamber.base import InputError, Progress, progress
from echochamber.train import best_device, keep_freed_memory, synchronize

Row = dict[str, Any]


@dataclass(frozen=True)
class Machine:
    """What a bench runs on.

    Attributes:
        device: of every tensor, ours and the peer's.
        dtype: of weights and arithmetic: bfloat16 on a GPU, float32 on a CPU, where bfloat16 is far slower.
    """

    device: torch.device
    dtype: torch.dtype

    @classmethod
    def named(cls, name: str = "auto") -> Machine:
        """The device that the user names: `auto` (the GPU if there is one), `cpu`, `cuda`, `cuda:1`, `mps`.

        Raises:
            InputError: this machine has no such device.
        """
        if name == "auto":
            name = best_device().type
        try:
            device = torch.device(name)
            torch.empty(1, device=device)
        except (RuntimeError, AssertionError) as error:
            raise InputError(
                f"device '{name}' cannot be used here: expected cpu, or cuda where PyTorch sees a GPU"
            ) from error
        return cls(device, torch.bfloat16 if device.type == "cuda" else torch.float32)

    def synchronize(self) -> None:
        """Wait until the GPU has finished its work."""
        synchronize(self.device)


@dataclass(frozen=True)
class Settings:
    """How a bench is run.

    Attributes:
        repeats: timed pairs (ours, then the peer), after one untimed pair.
        sizes: model sizes to measure, the headline first; None is the bench's own choice.
        quick: small numbers of everything, to check that it runs; the timings are meaningless.
        machine: device and dtype of both sides.
        study: study file that the `study` bench runs.
        out: folder for pictures of the benches that draw some; None draws nothing.
        repetitions: simulated studies per row of the `calibration` bench.
        seed: seed of the `calibration` bench.
        show: reports progress, `show(label, total)`.
    """

    repeats: int = 5
    sizes: tuple[str, ...] | None = None
    quick: bool = False
    machine: Machine = field(default_factory=Machine.named)
    study: Path = Path("studies/demo.yaml")
    out: Path | None = None
    repetitions: int = 4000
    seed: int = 0
    show: Callable[[str, int], AbstractContextManager[Progress]] = progress


@dataclass(frozen=True)
class Rates:
    """The best rates of the machine, measured just before a comparison.

    Attributes:
        flops_per_second: of a large matrix product in the dtype of the bench.
        copy_bytes_per_second: bytes read plus bytes written by a large copy.
    """

    flops_per_second: float
    copy_bytes_per_second: float


def seconds_of(work: Callable[[], object], machine: Machine) -> float:
    """Wall-clock seconds of one call, without garbage collection in between."""
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        machine.synchronize()
        start = time.perf_counter()
        work()
        machine.synchronize()
        return time.perf_counter() - start
    finally:
        if enabled:
            gc.enable()


def measure_rates(settings: Settings) -> Rates:
    """The best of several large matrix products and copies, on all threads."""
    machine, quick = settings.machine, settings.quick
    width = 256 if quick else (8192 if machine.device.type == "cuda" else 2048)
    a = torch.randn(width, width, device=machine.device, dtype=machine.dtype)
    b = torch.randn(width, width, device=machine.device, dtype=machine.dtype)
    product = torch.empty_like(a)
    source = torch.empty(2**20 if quick else 2**26, dtype=torch.uint8, device=machine.device).fill_(1)
    target = torch.empty_like(source)
    repeats = 3 if quick else 8
    product_seconds = min(seconds_of(lambda: torch.mm(a, b, out=product), machine) for _ in range(repeats))
    copy_seconds = min(seconds_of(lambda: target.copy_(source), machine) for _ in range(repeats))
    return Rates(2 * width**3 / product_seconds, 2 * source.numel() / copy_seconds)


def in_turns(
    ours: Callable[[int], object], peer: Callable[[int], object], settings: Settings, label: str
) -> tuple[list[float], list[float]]:
    """Seconds of both sides in alternation, so that a slow phase of the machine affects both.

    Each is first called once without timing; the argument is the repetition's number. `label` names the work
    in the progress display.
    """
    keep_freed_memory()  # as in our training loop; the peer then benefits too
    repeats, machine = settings.repeats, settings.machine
    our_seconds, peer_seconds = [], []
    with settings.show(label, repeats + 1) as bar:
        ours(repeats)
        peer(repeats)
        bar.update(1)
        for repeat in range(repeats):
            our_seconds.append(seconds_of(lambda r=repeat: ours(r), machine))  # type: ignore[misc]
            peer_seconds.append(seconds_of(lambda r=repeat: peer(r), machine))  # type: ignore[misc]
            bar.update(repeat + 2, ours_seconds=our_seconds[-1], peer_seconds=peer_seconds[-1])
    return our_seconds, peer_seconds


def timed(work: Callable[[int], object], settings: Settings, label: str) -> list[float]:
    """Seconds of work that has no peer, after one untimed call; the argument is the repetition's number."""
    keep_freed_memory()
    seconds = []
    with settings.show(label, settings.repeats + 1) as bar:
        work(settings.repeats)
        bar.update(1)
        for repeat in range(settings.repeats):
            seconds.append(seconds_of(lambda r=repeat: work(r), settings.machine))  # type: ignore[misc]
            bar.update(repeat + 2, seconds=seconds[-1])
    return seconds


def describe_machine(machine: Machine) -> dict[str, Any]:
    """The machine and software that the numbers were measured on."""
    on_gpu = machine.device.type == "cuda"
    return {
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(machine.device) if on_gpu else str(machine.device),
        "dtype": str(machine.dtype).removeprefix("torch."),
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

    `floor_fraction` is the floor over our median: the fraction of the best the machine could do; None where
    no floor is known.
    """
    ratios = [theirs / ours for ours, theirs in zip(our_seconds, peer_seconds, strict=True)]
    ours = summary(our_seconds)
    return {
        "ours": ours,
        "peer": {"name": peer, "version": version, **summary(peer_seconds)},
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        "floor_seconds": floor_seconds,
        "floor_fraction": None if floor_seconds is None else floor_seconds / ours["median_seconds"],
    }


def alone(seconds: Sequence[float], *, why: str, floor_seconds: float | None = None) -> dict[str, Any]:
    """The same numbers for work that no peer does; `why` explains that in a sentence."""
    row = comparison(seconds, seconds, peer="", version="", floor_seconds=floor_seconds)
    return {**row, "peer": None, "why_no_peer": why, "ratio": None, "ratios": []}


def target(measured: float, of: str, *, at_least: float | None = None, at_most: float | None = None) -> Row:
    """A promised number, what it refers to, and whether it is met."""
    met = (at_least is None or measured >= at_least) and (at_most is None or measured <= at_most)
    bound = {"at_least": at_least} if at_least is not None else {"at_most": at_most}
    return {"of": of, "measured": measured, **bound, "met": met}


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """Median and extremes of some timings."""
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
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(
            f"this bench compares with {name}, which is not installed. Install the peers with: "
            "pip install 'echochamber[bench]'"
        ) from error
