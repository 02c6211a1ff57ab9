from .asking import Completion, Group, ask, grade, sample
from .engines import AUTO, ENGINES, make_engine
from .hf import HFEngine
from .interface import Engine, Nucleus, SampledTokens, Sampling
from .native import GPU_CACHE_BYTES, NativeEngine
from .sampling import nucleus_logprobs
from .vllm import VLLMEngine

__all__ = [
    "AUTO",
    "ENGINES",
    "GPU_CACHE_BYTES",
    "Completion",
    "Engine",
    "Group",
    "HFEngine",
    "NativeEngine",
    "Nucleus",
    "SampledTokens",
    "Sampling",
    "VLLMEngine",
    "ask",
    "grade",
    "make_engine",
    "nucleus_logprobs",
    "sample",
]
