from .asking import Completion, Group, grade, sample
from .cache_bytes import rollout_bytes
from .engines import AUTO, ENGINES, make_engine
from .hf import HFEngine
from .interface import Engine, Nucleus, SampledTokens, Sampling, check_fit
from .native import NativeEngine
from .vllm import VLLMEngine

__all__ = [
    "AUTO",
    "ENGINES",
    "Completion",
    "Engine",
    "Group",
    "HFEngine",
    "NativeEngine",
    "Nucleus",
    "SampledTokens",
    "Sampling",
    "VLLMEngine",
    "check_fit",
    "grade",
    "make_engine",
    "rollout_bytes",
    "sample",
]
