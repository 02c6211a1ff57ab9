"""What post-training needs of a GPU's memory, from parameter counts; docs/gpus.md tells the arithmetic."""

from __future__ import annotations

from echochamber.model import ModelConfig, num_parameters
from echochamber.rl.config import PolicyGradientConfig, RewardConfig, RLConfig
from echochamber.rl.ppo import PPOConfig
from echochamber.rollout import GPU_CACHE_BYTES
from echochamber.train.memory import (
    WORKSPACE_BYTES,
    activation_bytes_per_token,
    cache_bytes_per_token,
    kept_bytes,
    microbatch_that_fits,
    step_bytes,
)

# Bytes of a reference weight on the GPU, by where it is kept.
_REFERENCE_BYTES = {"device": 4, "bfloat16": 2, "host": 0}


def rollout_bytes(config: ModelConfig, *, completions: int, context: int) -> dict[str, float]:
    """Peak bytes of the native engine: a bfloat16 copy of the weights, and keys and values.

    Args:
        completions: sampled by one process, all at once if they fit the cache.
        context: tokens of the longest row.
    """
    cache = completions * context * cache_bytes_per_token(config)
    return {
        "rollout weights": 2.0 * num_parameters(config),
        "KV cache": float(min(cache, GPU_CACHE_BYTES)),
    }


def post_training_bytes(config: ModelConfig, arm: RLConfig, *, num_processes: int = 1) -> dict[str, float]:
    """Peak bytes of one arm on one GPU in bfloat16, by part; their sum is the estimate.

    Everything is counted as if it were there at once: the engine's cache stays while the policy is updated.
    Actor and critic take their steps in turns, so gradients exist once.
    A reference kept on the host visits the GPU when nothing has activations there, and is not counted.
    """
    parameters = num_parameters(config)
    tokens = arm.microbatch_tokens or microbatch_that_fits(config)
    found = {f"policy: {name}": size for name, size in kept_bytes(parameters).items()}
    if isinstance(arm, PolicyGradientConfig) and arm.reference == "start":
        found["reference"] = float(_REFERENCE_BYTES[arm.keep_reference] * parameters)
    if isinstance(arm, PPOConfig) and arm.critic == "own":
        head = 0 if config.tied_embeddings else config.vocab_size * config.d_model
        own = parameters - head + config.d_model + 1
        found |= {f"critic: {name}": size for name, size in kept_bytes(own).items()}
    if isinstance(arm, RewardConfig):
        prompts = arm.prompts_per_step if isinstance(arm, PolicyGradientConfig) else 128
        completions = max(1, prompts // num_processes) * arm.samples_per_prompt
        found |= rollout_bytes(config, completions=completions, context=config.context_length)
    found |= step_bytes(parameters)
    found["activations"] = activation_bytes_per_token(config) * tokens
    # Logits at response tokens and their gradient, both in bfloat16.
    found["logits"] = 4.0 * config.vocab_size * tokens
    found["workspace"] = float(WORKSPACE_BYTES)
    return found
