"""A model as a folder: `model.safetensors` and `config.json`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import Tensor

from echochamber.base import EchoError, InputError, read_json
from echochamber.model.config import ModelConfig
from echochamber.model.files import ARCHITECTURE, CONFIG_FILE, LAYOUT, WEIGHTS_FILE, read_weights
from echochamber.model.policy import Policy
from echochamber.model.transformer import Transformer


def save(policy: Policy, folder: Path) -> None:
    """Write the model so that `load_policy` gives the same bits; an older model in that folder is replaced.

    Raises:
        EchoError: the disk refused.
    """
    policy.write(folder)


def load(folder: Path) -> Transformer:
    """Read a model that `save` wrote, on the CPU, in the dtype it was saved in.

    Raises:
        InputError: the folder holds no model of ours.
        EchoError: its files are damaged or do not fit one another.
    """
    if not (folder / CONFIG_FILE).is_file():
        raise InputError(
            f"{folder} holds no model: there is no {CONFIG_FILE}. Give a folder written by a run"
        )
    description = read_json(folder / CONFIG_FILE)
    if not isinstance(description, dict) or description.get("architecture") != ARCHITECTURE:
        raise InputError(
            f'{folder / CONFIG_FILE}: expected "architecture": "{ARCHITECTURE}". '
            "A folder of another layout is read with `echochamber import`"
        )
    if description.get("layout") != LAYOUT:
        raise InputError(
            f"{folder / CONFIG_FILE}: layout {description.get('layout')!r}; expected {LAYOUT}, "
            "the one this version reads"
        )
    try:
        config = ModelConfig.model_validate(description.get("model"))
    except ValidationError as error:
        raise EchoError(f"{folder / CONFIG_FILE} is damaged: {error.errors()[0]['msg']}") from error
    return model_from_state(config, read_weights(folder / WEIGHTS_FILE), folder / WEIGHTS_FILE)


def model_from_state(config: ModelConfig, state: Mapping[str, Tensor], source: Path) -> Transformer:
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
