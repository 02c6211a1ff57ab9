"""Folders that `transformers.AutoModelForCausalLM` loads, written and read without transformers.

Two layouts are read: `OlmoForCausalLM`, and that of the original OLMo-1 training code (fused attention
projection; the fused SwiGLU matrix there holds (up, gate), ours (gate, up)).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from echochamber.base import EchoError, InputError, read_json, write_json
from echochamber.model.config import ModelConfig
from echochamber.model.storage import CONFIG_FILE, WEIGHTS_FILE, model_from_state, read_weights, write_weights
from echochamber.model.transformer import Transformer

INDEX_FILE = "model.safetensors.index.json"


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
    """Read an OLMo-1 model from a Hugging Face folder (float32, float16 or bfloat16 safetensors).

    Raises:
        InputError: no such folder, or another architecture.
        EchoError: weights are missing or damaged.
    """
    if not (folder / CONFIG_FILE).is_file():
        raise InputError(f"{folder} holds no model: there is no {CONFIG_FILE}")
    description = read_json(folder / CONFIG_FILE)
    kind = description.get("model_type") if isinstance(description, dict) else None
    if kind == "olmo":
        return model_from_state(
            _config_of_hf(description, folder), _state_of_hf(_all_weights(folder)), folder
        )
    if kind in ("hf_olmo", "olmo_original"):
        state = _state_of_original(_all_weights(folder), bool(description.get("weight_tying")))
        return model_from_state(_config_of_original(description, folder), state, folder)
    raise InputError(f"{folder / CONFIG_FILE}: model_type {kind!r}: expected 'olmo' or 'hf_olmo'")


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
            "layer_norm_with_affine": (bool(d.get("layer_norm_with_affine", False)), False),
            "attention_layer_norm": (bool(d.get("attention_layer_norm", False)), False),
            "clip_qkv": (d.get("clip_qkv"), None),
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


def _all_weights(folder: Path) -> dict[str, Tensor]:
    if not (folder / INDEX_FILE).is_file():
        return read_weights(folder / WEIGHTS_FILE)
    files = sorted(set(read_json(folder / INDEX_FILE)["weight_map"].values()))
    state: dict[str, Tensor] = {}
    for name in files:
        state |= read_weights(folder / name)
    return state


def _taken(state: dict[str, Tensor], name: str) -> Tensor:
    if name not in state:
        raise EchoError(f"the weight '{name}' is missing")
    return state.pop(name)


def _num_layers(state: Mapping[str, Tensor], pattern: str) -> int:
    found = [int(m.group(1)) for name in state if (m := re.match(pattern, name))]
    return max(found, default=-1) + 1


def _state_of_hf(state: dict[str, Tensor]) -> dict[str, Tensor]:
    ours = {"embedding": _taken(state, "model.embed_tokens.weight")}
    for index in range(_num_layers(state, r"model\.layers\.(\d+)\.")):
        prefix = f"model.layers.{index}"
        qkv = [_taken(state, f"{prefix}.self_attn.{name}_proj.weight") for name in "qkv"]
        ours[f"blocks.{index}.qkv"] = torch.cat(qkv)
        ours[f"blocks.{index}.out"] = _taken(state, f"{prefix}.self_attn.o_proj.weight")
        gate_up = [_taken(state, f"{prefix}.mlp.{name}_proj.weight") for name in ("gate", "up")]
        ours[f"blocks.{index}.gate_up"] = torch.cat(gate_up)
        ours[f"blocks.{index}.down"] = _taken(state, f"{prefix}.mlp.down_proj.weight")
    if "lm_head.weight" in state:
        ours["unembedding"] = _taken(state, "lm_head.weight")
    return ours | state


def _state_of_original(state: dict[str, Tensor], tied: bool) -> dict[str, Tensor]:
    state = {name.removeprefix("model."): tensor for name, tensor in state.items()}
    ours = {"embedding": _taken(state, "transformer.wte.weight")}
    for index in range(_num_layers(state, r"transformer\.blocks\.(\d+)\.")):
        prefix = f"transformer.blocks.{index}"
        ours[f"blocks.{index}.qkv"] = _taken(state, f"{prefix}.att_proj.weight")
        ours[f"blocks.{index}.out"] = _taken(state, f"{prefix}.attn_out.weight")
        up, gate = _taken(state, f"{prefix}.ff_proj.weight").chunk(2)
        ours[f"blocks.{index}.gate_up"] = torch.cat((gate, up))
        ours[f"blocks.{index}.down"] = _taken(state, f"{prefix}.ff_out.weight")
    if not tied:
        ours["unembedding"] = _taken(state, "transformer.ff_out.weight")
    return ours | state
