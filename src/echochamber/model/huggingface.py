"""Our model as `transformers` has it: its names, its config, its folders. Written without that package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from echochamber.base import InputError, write_json
from echochamber.model.config import ModelConfig
from echochamber.model.files import write_weights

if TYPE_CHECKING:
    from echochamber.model.transformer import Transformer


def hf_state(model: Transformer) -> dict[str, Tensor]:
    """The weights under the names of `OlmoForCausalLM`; views, not copies."""
    state: dict[str, Tensor] = {"model.embed_tokens.weight": model.embedding}
    for index, weights in enumerate(_block_states(model)):
        prefix = f"model.layers.{index}"
        q, k, v = weights["qkv"].chunk(3)
        gate, up = weights["gate_up"].chunk(2)
        state[f"{prefix}.self_attn.q_proj.weight"] = q
        state[f"{prefix}.self_attn.k_proj.weight"] = k
        state[f"{prefix}.self_attn.v_proj.weight"] = v
        state[f"{prefix}.self_attn.o_proj.weight"] = weights["out"]
        state[f"{prefix}.mlp.gate_proj.weight"] = gate
        state[f"{prefix}.mlp.up_proj.weight"] = up
        state[f"{prefix}.mlp.down_proj.weight"] = weights["down"]
    if model.unembedding is not None:
        state["lm_head.weight"] = model.unembedding
    return {name: tensor.detach() for name, tensor in state.items()}


def _block_states(model: Transformer) -> list[dict[str, Tensor]]:
    return [dict(block.named_parameters()) for block in model.blocks]


def hf_config(
    config: ModelConfig, *, eos_id: int, pad_id: int, bos_id: int | None, dtype: torch.dtype = torch.float32
) -> dict[str, Any]:
    """`config.json` of an `OlmoForCausalLM`; readable by transformers 4 and 5.

    Raises:
        InputError: the architecture there has no such setting.
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


def to_hf(model: Transformer, folder: Path, *, eos_id: int, pad_id: int, bos_id: int | None = None) -> None:
    """Write a folder that `AutoModelForCausalLM.from_pretrained` loads, with identical logits.

    Raises:
        InputError: the architecture there cannot express this model.
        EchoError: the disk refused.
    """
    description = hf_config(
        model.config, eos_id=eos_id, pad_id=pad_id, bos_id=bos_id, dtype=model.embedding.dtype
    )
    write_weights(hf_state(model), folder, description)
    generation = {"eos_token_id": eos_id, "pad_token_id": pad_id, "bos_token_id": bos_id}
    write_json(folder / "generation_config.json", {k: v for k, v in generation.items() if v is not None})


def require_transformers() -> Any:
    """The package transformers.

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
