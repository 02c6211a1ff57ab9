"""Engines by name, as a study file gives them."""

from __future__ import annotations

from collections.abc import Callable

from echochamber.base import Registry
from echochamber.model import Policy, Transformer
from echochamber.rollout.hf import HFEngine
from echochamber.rollout.interface import Engine
from echochamber.rollout.native import NativeEngine
from echochamber.rollout.vllm import VLLMEngine

# An entry takes the model, `eos_id` and `pad_id`.
ENGINES: Registry[Callable[..., Engine]] = Registry("rollout engine")
ENGINES.register("native", NativeEngine)
ENGINES.register("hf", HFEngine)
ENGINES.register("vllm", VLLMEngine)


AUTO = "auto"
"""The engine that suits the model."""


def make_engine(name: str, model: Policy, *, eos_id: int, pad_id: int) -> Engine:
    """The engine of that name, with a copy of the model's weights.

    Raises:
        InputError: no such engine, what it needs is not installed, or it cannot run this model.
    """
    if name == AUTO:
        name = "native" if isinstance(model, Transformer) else "hf"
    return ENGINES.get(name)(model, eos_id=eos_id, pad_id=pad_id)
