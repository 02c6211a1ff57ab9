"""Engines by the names that a study file uses. Each is imported only when made, because it needs PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from echochamber import model
from echochamber.base import Registry
from echochamber.rollout.interface import Engine

if TYPE_CHECKING:
    from echochamber.corpora import Tokenizer
    from echochamber.model import Policy

# An entry takes the policy, `eos_id` and `pad_id`.
ENGINES: Registry[Callable[..., Engine]] = Registry("rollout engine")

AUTO = "auto"
"""The engine that suits the model."""


def make_engine(name: str, policy: Policy, tokenizer: Tokenizer) -> Engine:
    """The engine of that name, with a copy of the policy's weights.

    Raises:
        InputError: there is no such engine, a package it needs is not installed, or it cannot run this model.
    """
    if name == AUTO:
        name = "native" if isinstance(policy, model.Transformer) else "hf"
    return ENGINES.get(name)(policy, eos_id=tokenizer.eos_id, pad_id=tokenizer.pad_id)


def _native(policy: Policy, *, eos_id: int, pad_id: int) -> Engine:
    from echochamber.rollout.native import NativeEngine

    return NativeEngine(policy, eos_id=eos_id, pad_id=pad_id)


def _hf(policy: Policy, *, eos_id: int, pad_id: int) -> Engine:
    from echochamber.rollout.hf import HFEngine

    return HFEngine(policy, eos_id=eos_id, pad_id=pad_id)


def _vllm(policy: Policy, *, eos_id: int, pad_id: int) -> Engine:
    from echochamber.rollout.vllm import VLLMEngine

    return VLLMEngine(policy, eos_id=eos_id, pad_id=pad_id)


ENGINES.register("native", _native)
ENGINES.register("hf", _hf)
ENGINES.register("vllm", _vllm)
