"""The one entrance for every model folder that can be read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import Tensor

from echochamber.base import EchoError, InputError
from echochamber.model.adapter import load_foreign_model
from echochamber.model.config import ModelConfig
from echochamber.model.files import (
    ARCHITECTURE,
    CONFIG_FILE,
    LAYOUT,
    WEIGHTS_FILE,
    read_description,
    read_weights,
)
from echochamber.model.policy import Policy
from echochamber.model.reading import (
    ORIGINAL_TYPES,
    all_weights,
    hf_model_config,
    state_of_hf,
    state_of_original,
)
from echochamber.model.transformer import Transformer


def load_policy(folder: Path) -> Policy:
    """Load a model in any supported layout: ours, the two of OLMo-1, or any other of transformers.

    OLMo-1 models become our `Transformer`; others are used through `HFPolicy`.

    Raises:
        InputError: no such folder, an architecture that cannot be used, or transformers is missing.
        EchoError: weights are missing or damaged.
    """
    found = read_description(folder)
    if found.get("architecture") == ARCHITECTURE:
        return load_ours(folder)
    if found.get("model_type") in ("olmo", *ORIGINAL_TYPES):
        return load_olmo(folder)
    return load_foreign_model(folder)


def load_ours(folder: Path) -> Transformer:
    """Read a model that `Transformer.write` wrote, on the CPU, in the dtype it was saved in.

    Raises:
        InputError: the folder holds no model of ours.
        EchoError: its files are damaged or do not match one another.
    """
    description = read_description(folder)
    if description.get("layout") != LAYOUT:
        raise InputError(
            f"{folder / CONFIG_FILE}: layout {description.get('layout')!r}; expected {LAYOUT}, "
            "the one this version reads"
        )
    try:
        config = ModelConfig.model_validate(description.get("model"))
    except ValidationError as error:
        raise EchoError(f"{folder / CONFIG_FILE} is damaged: {error.errors()[0]['msg']}") from error
    return _model_of(config, read_weights(folder / WEIGHTS_FILE), folder / WEIGHTS_FILE)


def load_olmo(folder: Path) -> Transformer:
    """Read an OLMo-1 model that other software wrote, in the dtype it was saved in.

    Weights may be safetensors or `pytorch_model.bin`, whole or in shards; layouts as in `reading`.

    Raises:
        InputError: no such folder, or another architecture.
        EchoError: weights are missing or damaged.
    """
    description, config = hf_model_config(folder)
    read = state_of_original if description["model_type"] in ORIGINAL_TYPES else state_of_hf
    return _model_of(config, read(all_weights(folder), folder, tied=config.tied_embeddings), folder)


def _model_of(config: ModelConfig, state: Mapping[str, Tensor], source: Path) -> Transformer:
    """A model with exactly these weights.

    Raises:
        EchoError: a weight is missing, unknown or of another shape; `source` is named.
    """
    model = Transformer(config)
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise EchoError(
                f"{source}: weight '{name}' has shape {found.get(name, 'missing')}, "
                f"expected {expected.get(name, 'no such weight')}"
            )
    dtypes = {tensor.dtype for tensor in state.values()}
    if len(dtypes) != 1:
        raise EchoError(f"{source}: weights of several dtypes: {', '.join(sorted(map(str, dtypes)))}")
    (dtype,) = dtypes
    if dtype != torch.float32:
        model = model.to(dtype)
    model.load_state_dict(dict(state))
    return model
