"""OLMo-1 models written by other software: their settings and weights under our names.

Two layouts are known: `OlmoForCausalLM` of transformers, and that of the original OLMo-1 training code,
in which the released checkpoints of Zhao, Meterez et al. 2025 are kept (fused attention projection; the
fused SwiGLU matrix there holds (up, gate), ours (gate, up)).
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from echochamber.base import EchoError, InputError, read_json
from echochamber.base.lazy import torch
from echochamber.model.config import ModelConfig
from echochamber.model.files import CONFIG_FILE, WEIGHTS_FILE, read_description, read_weights

if TYPE_CHECKING:
    from torch import Tensor

ORIGINAL_TYPES = ("hf_olmo", "olmo_original")
"""`model_type` of folders in the layout of the original OLMo-1 training code."""

PICKLE_FILE = "pytorch_model.bin"
INDEX_FILES = (WEIGHTS_FILE + ".index.json", PICKLE_FILE + ".index.json")


def hf_model_config(folder: Path) -> tuple[dict[str, Any], ModelConfig]:
    """`config.json` of an OLMo-1 folder, both unchanged and as one of our configs.

    Raises:
        InputError: no such folder, another architecture, or settings that ours does not have.
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
    # There, mlp_hidden_size counts gate and up together.
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


def weight_files(folder: Path) -> list[Path]:
    """The files that hold a folder's weights: safetensors if there are any, else PyTorch's own format.

    Raises:
        InputError: there are none.
        EchoError: the index of a sharded model is damaged.
    """
    for single, index in zip((WEIGHTS_FILE, PICKLE_FILE), INDEX_FILES, strict=True):
        if (folder / index).is_file():
            found = read_json(folder / index)
            shards = found.get("weight_map") if isinstance(found, dict) else None
            if not isinstance(shards, dict):
                raise EchoError(f"{folder / index} is damaged: it has no weight_map")
            return [folder / name for name in sorted(set(shards.values()))]
        if (folder / single).is_file():
            return [folder / single]
    raise InputError(
        f"{folder} holds no weights: expected {WEIGHTS_FILE}, {PICKLE_FILE} or shards with an index"
    )


def all_weights(folder: Path) -> dict[str, Tensor]:
    """Every tensor of a folder, on the CPU.

    Raises:
        InputError: there are no weights.
        EchoError: a file is missing or damaged.
    """
    state: dict[str, Tensor] = {}
    for path in weight_files(folder):
        state |= read_weights(path) if path.suffix == ".safetensors" else _read_pickle(path)
    return state


def _read_pickle(path: Path) -> dict[str, Tensor]:
    """Tensors of a file written by `torch.save`; only tensors are unpickled, so no code can run."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise EchoError(f"{path} is missing") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise EchoError(f"{path} is damaged or holds more than tensors") from error
    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise EchoError(f"{path} holds something other than named tensors")
    return found


class _Weights:
    """Foreign weights, taken out one by one."""

    def __init__(self, state: Mapping[str, Tensor], folder: Path) -> None:
        # Older checkpoints keep the rotary frequencies, which follow from the config.
        self.left = {name: t for name, t in state.items() if not name.endswith("rotary_emb.inv_freq")}
        self.folder = folder

    def take(self, name: str) -> Tensor:
        if name not in self.left:
            raise EchoError(f"{self.folder}: the weight '{name}' is missing")
        return self.left.pop(name)

    def num_layers(self, pattern: str) -> int:
        found = [int(m.group(1)) for name in self.left if (m := re.match(pattern, name))]
        return max(found, default=-1) + 1

    def output_matrix(self, name: str, embedding: Tensor, tied: bool) -> Tensor | None:
        """The separate output matrix, or None; a tied one may be stored twice, with the same values."""
        if not tied:
            return self.take(name)
        copy = self.left.pop(name, embedding)
        if not torch.equal(copy, embedding):
            raise EchoError(
                f"{self.folder}: config.json ties the embeddings, but '{name}' differs from the input's"
            )
        return None


def state_of_hf(state: Mapping[str, Tensor], folder: Path, *, tied: bool) -> dict[str, Tensor]:
    """The weights of an `OlmoForCausalLM` under our names; any others keep theirs.

    Raises:
        EchoError: a weight is missing.
    """
    weights = _Weights(state, folder)
    ours = {"embedding": weights.take("model.embed_tokens.weight")}
    for index in range(weights.num_layers(r"model\.layers\.(\d+)\.")):
        prefix = f"model.layers.{index}"
        ours[f"blocks.{index}.qkv"] = torch.cat(
            [weights.take(f"{prefix}.self_attn.{name}_proj.weight") for name in "qkv"]
        )
        ours[f"blocks.{index}.out"] = weights.take(f"{prefix}.self_attn.o_proj.weight")
        ours[f"blocks.{index}.gate_up"] = torch.cat(
            [weights.take(f"{prefix}.mlp.{name}_proj.weight") for name in ("gate", "up")]
        )
        ours[f"blocks.{index}.down"] = weights.take(f"{prefix}.mlp.down_proj.weight")
    unembedding = weights.output_matrix("lm_head.weight", ours["embedding"], tied)
    if unembedding is not None:
        ours["unembedding"] = unembedding
    return ours | weights.left


def state_of_original(state: Mapping[str, Tensor], folder: Path, *, tied: bool) -> dict[str, Tensor]:
    """The weights of the original OLMo-1 code under our names; any others keep theirs.

    Raises:
        EchoError: a weight is missing.
    """
    weights = _Weights({name.removeprefix("model."): t for name, t in state.items()}, folder)
    ours = {"embedding": weights.take("transformer.wte.weight")}
    for index in range(weights.num_layers(r"transformer\.blocks\.(\d+)\.")):
        prefix = f"transformer.blocks.{index}"
        ours[f"blocks.{index}.qkv"] = weights.take(f"{prefix}.att_proj.weight")
        ours[f"blocks.{index}.out"] = weights.take(f"{prefix}.attn_out.weight")
        up, gate = weights.take(f"{prefix}.ff_proj.weight").chunk(2)
        ours[f"blocks.{index}.gate_up"] = torch.cat((gate, up))
        ours[f"blocks.{index}.down"] = weights.take(f"{prefix}.ff_out.weight")
    unembedding = weights.output_matrix("transformer.ff_out.weight", ours["embedding"], tied)
    if unembedding is not None:
        ours["unembedding"] = unembedding
    return ours | weights.left
