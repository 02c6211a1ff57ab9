"""How much memory keys and values may take, and how much sampling needs on a GPU."""

from __future__ import annotations

from echochamber.model import ModelConfig, num_parameters
from echochamber.train import cache_bytes_per_token

# Maximum memory for keys and values of one batch.
CPU_CACHE_BYTES, GPU_CACHE_BYTES = 2**30, 2**34


def rollout_bytes(config: ModelConfig, *, completions: int, context: int) -> dict[str, float]:
    """Peak bytes of the native engine on a GPU, by part: bfloat16 weights, and keys and values.

    Args:
        completions: number sampled by one process, all at once if they fit in the cache.
        context: tokens of the longest row.
    """
    cache = completions * context * cache_bytes_per_token(config)
    return {
        "rollout weights": 2.0 * num_parameters(config),
        "KV cache": float(min(cache, GPU_CACHE_BYTES)),
    }
