"""Our model in the form `transformers` uses: names, config and folders. Does not need that package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from echochamber.base import InputError
from echochamber.model.config import ModelConfig

# One of our matrices and, in the order of its rows, theirs.
_PARTS = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "out": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}


def hf_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a `Transformer` under the names of `OlmoForCausalLM`; views, not copies."""
    theirs: dict[str, Tensor] = {}
    for name, weight in state.items():
        if name == "embedding":
            theirs["model.embed_tokens.weight"] = weight
        elif name == "unembedding":
            theirs["lm_head.weight"] = weight
        else:
            _, index, part = name.split(".")
            names = [f"model.layers.{index}.{inner}.weight" for inner in _PARTS[part]]
            theirs |= dict(zip(names, weight.chunk(len(names)), strict=True))
    return {name: weight.detach() for name, weight in theirs.items()}


def hf_config(
    config: ModelConfig, *, eos_id: int, pad_id: int, bos_id: int | None, dtype: torch.dtype = torch.float32
) -> dict[str, Any]:
    """`config.json` of an `OlmoForCausalLM`; readable by transformers 4 and 5.

    Raises:
        InputError: their architecture has no such setting.
    """
    if config.norm_eps != 1e-5:
        raise InputError(
            f"norm_eps {config.norm_eps}: OlmoForCausalLM knows 1e-05 only, so this model cannot be exported"
        )
    return {
        "architectures": ["OlmoForCausalLM"],
        "model_type": "olmo",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": bos_id,
        "clip_qkv": None,
        "dtype": str(dtype).removeprefix("torch."),
        "eos_token_id": eos_id,
        "hidden_act": "silu",
        "hidden_size": config.d_model,
        "initializer_range": config.init_std,
        "intermediate_size": config.mlp_hidden,
        "max_position_embeddings": config.context_length,
        "num_attention_heads": config.num_heads,
        "num_hidden_layers": config.num_layers,
        "num_key_value_heads": config.num_heads,
        "pad_token_id": pad_id,
        "rope_parameters": {"rope_theta": config.rope_theta, "rope_type": "default"},
        "rope_theta": config.rope_theta,
        "tie_word_embeddings": config.tied_embeddings,
        "use_cache": True,
        "vocab_size": config.vocab_size,
    }


def require_transformers() -> Any:
    """Import the package transformers.

    Raises:
        InputError: it is not installed.
    """
    try:
        import transformers
    except ImportError as error:
        raise InputError(
            "models of other architectures and the engine 'hf' need the package transformers, which is not "
            "installed. Install it with: pip install 'echochamber[hf]'"
        ) from error
    return transformers
