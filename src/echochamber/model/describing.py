"""What a model folder holds, without reading its weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
from pydantic import ValidationError

from echochamber.base import EchoError, InputError
from echochamber.base.lazy import torch
from echochamber.model.config import ModelConfig, num_parameters
from echochamber.model.files import ARCHITECTURE, CONFIG_FILE, read_description
from echochamber.model.reading import ORIGINAL_TYPES, hf_model_config, weight_files

# Names under which architectures of transformers store what we need; the first one found is used.
_WIDTH = ("hidden_size", "n_embd", "d_model")
_LAYERS = ("num_hidden_layers", "n_layer", "num_layers")
_CONTEXT = ("max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length")


@dataclass(frozen=True)
class Description:
    """A model in a few numbers.

    Attributes:
        kind: its architecture: ours, or the `model_type` of transformers.
        num_parameters: weights, a tied matrix once.
        context_length: longest sequence in which attention sees everything before a token.
    """

    kind: str
    num_parameters: int
    d_model: int
    num_layers: int
    context_length: int
    vocab_size: int
    mlp_hidden: int
    tied_embeddings: bool

    @property
    def shape(self) -> ModelConfig:
        """The closest of our own models: it needs about as much memory."""
        return ModelConfig(
            d_model=self.d_model,
            num_layers=self.num_layers,
            num_heads=1,
            mlp_hidden=self.mlp_hidden,
            vocab_size=self.vocab_size,
            context_length=self.context_length,
            tied_embeddings=self.tied_embeddings,
        )

    def flops_per_token(self, context: float) -> float:
        """As `model.flops_per_token`: 6 N and causal attention over `context` tokens."""
        return 6.0 * self.num_parameters + 6.0 * self.num_layers * self.d_model * context


def describe_config(config: ModelConfig, kind: str = ARCHITECTURE) -> Description:
    """Describe one of our own models."""
    return Description(
        kind=kind,
        num_parameters=num_parameters(config),
        d_model=config.d_model,
        num_layers=config.num_layers,
        context_length=config.context_length,
        vocab_size=config.vocab_size,
        mlp_hidden=config.mlp_hidden,
        tied_embeddings=config.tied_embeddings,
    )


def describe(folder: Path) -> Description:
    """Describe the model in a folder, in our layout or any of those of transformers.

    Raises:
        InputError: it holds no model, or one whose sizes cannot be determined.
        EchoError: a file is damaged.
    """
    found = read_description(folder)
    if found.get("architecture") == ARCHITECTURE:
        try:
            return describe_config(ModelConfig.model_validate(found.get("model")))
        except ValidationError as error:
            raise EchoError(f"{folder / CONFIG_FILE} is damaged: {error.errors()[0]['msg']}") from error
    kind = found.get("model_type")
    if kind == "olmo" or kind in ORIGINAL_TYPES:
        return describe_config(hf_model_config(folder)[1], str(kind))
    return describe_foreign(found, _count(folder), str(folder / CONFIG_FILE))


def describe_foreign(found: Mapping[str, Any], num_parameters: int, where: str) -> Description:
    """Describe a model of transformers from its config.

    Raises:
        InputError: its sizes cannot be determined; the message names `where`.
    """
    width = _number(found, _WIDTH, where)
    return Description(
        kind=str(found.get("model_type")),
        num_parameters=num_parameters,
        d_model=width,
        num_layers=_number(found, _LAYERS, where),
        context_length=_attention_reach(found, where),
        vocab_size=_number(found, ("vocab_size",), where),
        # GPT-2 omits it where it is four times the width.
        mlp_hidden=int(found.get("intermediate_size") or found.get("n_inner") or 4 * width),
        tied_embeddings=bool(found.get("tie_word_embeddings", False)),
    )


def _attention_reach(config: Mapping[str, Any], where: str) -> int:
    """Tokens that attention covers: the longest context, or the sliding window if layers have one."""
    context = _number(config, _CONTEXT, where)
    window = config.get("sliding_window")
    layers = config.get("layer_types")
    slides = "sliding_attention" in layers if layers else config.get("use_sliding_window", True)
    return min(context, window) if isinstance(window, int) and slides else context


def _number(config: Mapping[str, Any], names: tuple[str, ...], where: str) -> int:
    for name in names:
        if isinstance(config.get(name), int):
            return int(config[name])
    raise InputError(
        f"{where}: expected a causal language model with one of {', '.join(names)}; found "
        f"model_type {config.get('model_type')!r} without"
    )


def _count(folder: Path) -> int:
    return sum(math.prod(shape) for path in weight_files(folder) for shape in _shapes(path))


def _shapes(path: Path) -> list[list[int]]:
    try:
        if path.suffix != ".safetensors":
            state = torch.load(path, map_location="meta", weights_only=True)
            return [list(tensor.shape) for tensor in state.values()]
        with safetensors.safe_open(path, "pt") as opened:
            return [opened.get_slice(name).get_shape() for name in opened.keys()]  # noqa: SIM118
    except FileNotFoundError as error:
        raise EchoError(f"{path} is missing") from error
    except (safetensors.SafetensorError, RuntimeError, OSError) as error:
        raise EchoError(f"{path} is damaged: {error}") from error
