"""One interface for sampling completions, and the engines behind it."""

from echochamber.rollout.engines import AUTO, ENGINES, make_engine
from echochamber.rollout.hf import HFEngine
from echochamber.rollout.interface import Completion, Engine, Nucleus, Sampling
from echochamber.rollout.native import GPU_CACHE_BYTES, NativeEngine
from echochamber.rollout.sampling import nucleus_logprobs
from echochamber.rollout.vllm import VLLMEngine

__all__ = [
    "AUTO",
    "ENGINES",
    "GPU_CACHE_BYTES",
    "Completion",
    "Engine",
    "HFEngine",
    "NativeEngine",
    "Nucleus",
    "Sampling",
    "VLLMEngine",
    "make_engine",
    "nucleus_logprobs",
]
