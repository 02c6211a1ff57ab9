from .engines import AUTO, ENGINES, make_engine
from .hf import HFEngine
from .interface import Completion, Engine, Nucleus, Sampling
from .native import GPU_CACHE_BYTES, NativeEngine
from .sampling import nucleus_logprobs
from .vllm import VLLMEngine

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
