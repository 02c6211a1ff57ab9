"""Folders that `transformers.AutoModelForCausalLM` loads, written and read without transformers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from echochamber.base import InputError, read_json, write_json
from echochamber.model.config import ModelConfig
from echochamber.model.reading import all_weights, state_of_hf, state_of_original
from echochamber.model.storage import CONFIG_FILE, model_from_state, write_weights
from echochamber.model.transformer import Transformer

ORIGINAL_TYPES = ("hf_olmo", "olmo_original")
"""`model_type` of folders in the layout of the original OLMo-1 training code."""


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


def from_hf(folder: Path) -> Transformer:
    """Read an OLMo-1 model from a Hugging Face folder, in the dtype it was saved in.

    Weights may be safetensors or `pytorch_model.bin`, whole or in shards; layouts as in `reading`.

    Raises:
        InputError: no such folder, or another architecture.
        EchoError: weights are missing or damaged.
    """
    description, config = hf_model_config(folder)
    read = state_of_original if description["model_type"] in ORIGINAL_TYPES else state_of_hf
    state = read(all_weights(folder), folder, tied=config.tied_embeddings)
    return model_from_state(config, state, folder)


def read_description(folder: Path) -> dict[str, Any]:
    """`config.json` of a model folder.

    Raises:
        InputError: no such folder, or no such file in it.
        EchoError: the file is damaged.
    """
    if not (folder / CONFIG_FILE).is_file():
        reason = f"there is no {CONFIG_FILE}" if folder.is_dir() else "there is no such folder"
        raise InputError(f"{folder} holds no model: {reason}")
    description = read_json(folder / CONFIG_FILE)
    if not isinstance(description, dict):
        raise InputError(f"{folder / CONFIG_FILE}: expected a mapping of names to values")
    return description


def hf_model_config(folder: Path) -> tuple[dict[str, Any], ModelConfig]:
    """`config.json` of an OLMo-1 folder, as it stands and as a config of ours.

    Raises:
        InputError: no such folder, another architecture, or settings this one does not have.
    """
    description = read_description(folder)
    kind = description.get("model_type")
    if kind != "olmo" and kind not in ORIGINAL_TYPES:
        raise InputError(f"{folder / CONFIG_FILE}: model_type {kind!r}: expected 'olmo' or 'hf_olmo'")
    try:
        config_of = _config_of_original if kind in ORIGINAL_TYPES else _config_of_hf
        return description, config_of(description, folder)
    except KeyError as error:
        raise InputError(f"{folder / CONFIG_FILE}: {error} is missing; expected an OLMo-1 model") from error
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise InputError(f"{folder / CONFIG_FILE}: {name}: {first['msg']}") from error


def _refuse(folder: Path, settings: Mapping[str, tuple[Any, Any]]) -> None:
    for name, (found, expected) in settings.items():
        if found != expected:
            raise InputError(
                f"{folder / CONFIG_FILE}: {name} is {found!r}; expected {expected!r}, "
                "as in the OLMo-1 models this architecture covers"
            )


def _config_of_hf(d: Mapping[str, Any], folder: Path) -> ModelConfig:
    rope = d.get("rope_parameters") or {}
    _refuse(
        folder,
        {
            "attention_bias": (bool(d.get("attention_bias", False)), False),
            "clip_qkv": (d.get("clip_qkv"), None),
            "hidden_act": (d.get("hidden_act", "silu"), "silu"),
            "num_key_value_heads": (
                d.get("num_key_value_heads") or d["num_attention_heads"],
                d["num_attention_heads"],
            ),
            "rope_type": (rope.get("rope_type", "default"), "default"),
            "rope_scaling": (d.get("rope_scaling"), None),
        },
    )
    return ModelConfig(
        d_model=d["hidden_size"],
        num_layers=d["num_hidden_layers"],
        num_heads=d["num_attention_heads"],
        mlp_hidden=d["intermediate_size"],
        vocab_size=d["vocab_size"],
        context_length=d.get("max_position_embeddings", 2048),
        tied_embeddings=bool(d.get("tie_word_embeddings", False)),
        rope_theta=float(rope.get("rope_theta") or d.get("rope_theta") or 10000.0),
        init_std=d.get("initializer_range", 0.02),
    )


def _config_of_original(d: Mapping[str, Any], folder: Path) -> ModelConfig:
    _refuse(
        folder,
        {
            "include_bias": (bool(d.get("include_bias", False)), False),
            "rope": (bool(d.get("rope", False)), True),
            "activation_type": (d.get("activation_type"), "swiglu"),
            # `low_precision` is the same arithmetic under autocast.
            "layer_norm_type": (
                str(d.get("layer_norm_type") or "default").replace("low_precision", "default"),
                "default",
            ),
            "layer_norm_with_affine": (bool(d.get("layer_norm_with_affine", False)), False),
            "attention_layer_norm": (bool(d.get("attention_layer_norm", False)), False),
            "clip_qkv": (d.get("clip_qkv"), None),
            "alibi": (bool(d.get("alibi", False)), False),
            "scale_logits": (bool(d.get("scale_logits", False)), False),
            "n_kv_heads": (d.get("n_kv_heads") or d["n_heads"], d["n_heads"]),
            "multi_query_attention": (bool(d.get("multi_query_attention", False)), False),
        },
    )
    # mlp_hidden_size counts gate and up together there.
    inner = d.get("mlp_hidden_size") or d["mlp_ratio"] * d["d_model"]
    return ModelConfig(
        d_model=d["d_model"],
        num_layers=d["n_layers"],
        num_heads=d["n_heads"],
        mlp_hidden=inner // 2,
        vocab_size=d.get("embedding_size") or d["vocab_size"],
        context_length=d["max_sequence_length"],
        tied_embeddings=bool(d.get("weight_tying", True)),
        rope_theta=float(d.get("rope_theta", 10000.0)),
        init_std=d.get("init_std", 0.02),
    )
