"""The device a process computes on, and the precision of its matrix products."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from typing import Any

from echochamber.base.lazy import torch
from echochamber.train.config import Precision


def best_device() -> torch.device:
    """The GPU if there is one, the CPU otherwise."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished its work; a CPU needs no waiting."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def uses_bfloat16(device: torch.device, precision: Precision) -> bool:
    """Whether matrix products run in bfloat16."""
    return precision == "bfloat16" or (precision == "auto" and device.type == "cuda")


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    """The context for forward passes: bfloat16 matrix products, or no change."""
    if uses_bfloat16(device, precision):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()
