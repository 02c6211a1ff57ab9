"""How much memory keys and values may take, and what sampling needs of a GPU."""

from __future__ import annotations

from echochamber.model import ModelConfig, num_parameters
from echochamber.train import cache_bytes_per_token

# The most memory for keys and values of one batch.
CPU_CACHE_BYTES, GPU_CACHE_BYTES = 2**30, 2**34


def rollout_bytes(config: ModelConfig, *, completions: int, context: int) -> dict[str, float]:
    """Peak bytes of the native engine on a GPU, by part: bfloat16 weights, and keys and values.

    Args:
        completions: sampled by one process, all at once if they fit the cache.
        context: tokens of the longest row.
    """
    cache = completions * context * cache_bytes_per_token(config)
    return {
        "rollout weights": 2.0 * num_parameters(config),
        "KV cache": float(min(cache, GPU_CACHE_BYTES)),
    }
