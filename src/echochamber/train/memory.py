"""The GPU memory that training needs, from parameter counts; docs/gpus.md explains the arithmetic.

N parameters, D width, M SwiGLU inner width, L layers, V vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from echochamber.model import ModelConfig, num_parameters

if TYPE_CHECKING:
    from echochamber.model import PolicyConfig

GIB = 2**30
# Logits of a chunk, gradients in transit between processes, and memory the allocator cannot release.
WORKSPACE_BYTES = 2 * GIB


def activation_bytes_per_token(
    config: PolicyConfig, *, bfloat16: bool = True, checkpointing: bool = False
) -> float:
    """Bytes that the forward pass keeps for the backward pass, per token of a microbatch.

    A block keeps, in bfloat16 autocast: its input and the stream after attention in float32 (4 D each), both
    normalized (2 D each), queries and keys rotated (4 D) and the projection they came from (6 D), the
    attention's output (2 D), gate and up (4 M), the activated gate (2 M) and its product (2 M): 24 D + 8 M.
    In float32: 40 D + 16 M. Activation checkpointing keeps the input of every block and the rest of one.
    """
    width, inner = config.d_model, config.mlp_hidden
    block = 24 * width + 8 * inner if bfloat16 else 40 * width + 16 * inner
    if checkpointing:
        return 4.0 * width * config.num_layers + block
    return float(block * config.num_layers)


def kept_bytes(parameters: float) -> dict[str, float]:
    """Bytes that a model in training always needs: float32 weights and both moments of AdamW."""
    return {"weights": 4.0 * parameters, "Adam moments": 8.0 * parameters}


def step_bytes(parameters: float) -> dict[str, float]:
    """Bytes needed only during an optimizer step: gradients, and autocast's copies of the weights."""
    return {"gradients": 4.0 * parameters, "bfloat16 copies": 2.0 * parameters}


def microbatch_that_fits(config: PolicyConfig, *, budget_bytes: float = 8 * GIB, most: int = 32768) -> int:
    """The largest power of two, at most `most`, whose tokens' activations stay within the budget."""
    tokens = most
    while tokens > 1024 and tokens * activation_bytes_per_token(config) > budget_bytes:
        tokens //= 2
    return tokens


def cache_bytes_per_token(config: ModelConfig, *, bytes_per_value: int = 2) -> int:
    """Keys and values of one token in all layers."""
    return 2 * config.num_layers * config.d_model * bytes_per_value


def pretraining_bytes(
    config: ModelConfig,
    *,
    microbatch_tokens: int,
    checkpointing: bool,
    sharded_over: int = 1,
) -> dict[str, float]:
    """Peak bytes of pretraining on one GPU in bfloat16, by part; their sum is the estimate.

    FSDP shards weights, gradients, moments and copies; the one block that is whole while it computes is not
    counted.
    """
    per_token = activation_bytes_per_token(config, checkpointing=checkpointing)
    share = num_parameters(config) / sharded_over
    return {
        **kept_bytes(share),
        **step_bytes(share),
        "activations": per_token * microbatch_tokens,
        # The fused loss computes the head's gradient in float32 before autograd adds it.
        "loss": 6.0 * config.vocab_size * config.d_model,
        "workspace": float(WORKSPACE_BYTES),
    }
