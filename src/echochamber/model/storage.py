"""A model as a folder: `model.safetensors` and `config.json`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from pydantic import ValidationError
from torch import Tensor

from echochamber.base import EchoError, InputError, explained_write, read_json, write_file, write_json
from echochamber.model.config import ModelConfig
from echochamber.model.transformer import Transformer

ARCHITECTURE = "echochamber-transformer"
LAYOUT = 1
WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"


def save_state(state: Mapping[str, Tensor], config: ModelConfig, folder: Path) -> None:
    """Write weights gathered elsewhere (e.g. from several processes) as a model folder; see `save`."""
    description = {"architecture": ARCHITECTURE, "layout": LAYOUT, "model": config.model_dump(mode="json")}
    write_weights(state, folder, description)


def write_weights(state: Mapping[str, Tensor], folder: Path, description: Mapping[str, Any]) -> None:
    """Weights, then `config.json`, without which a reader refuses the folder; each file atomically.

    Raises:
        EchoError: the disk refused.
    """
    with explained_write(folder):
        folder.mkdir(parents=True, exist_ok=True)
        # An older model of that name stops being readable before its weights change.
        (folder / CONFIG_FILE).unlink(missing_ok=True)
    plain = {name: tensor.detach().to("cpu").contiguous() for name, tensor in state.items()}
    write_file(folder / WEIGHTS_FILE, safetensors.torch.save(plain, metadata={"format": "pt"}))
    write_json(folder / CONFIG_FILE, dict(description))


def save(model: Transformer, folder: Path) -> None:
    """Write the model so that `load` gives the same bits; an older model in that folder is replaced.

    Equal weights give equal bytes.

    Raises:
        EchoError: the disk refused.
    """
    save_state(model.state_dict(), model.config, folder)


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
            "A Hugging Face folder is read with `echochamber import`"
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


def read_weights(path: Path) -> dict[str, Tensor]:
    """All tensors of one safetensors file.

    Raises:
        EchoError: missing or damaged.
    """
    try:
        return dict(safetensors.torch.load_file(path))
    except FileNotFoundError as error:
        raise EchoError(f"{path} is missing") from error
    except (safetensors.SafetensorError, OSError) as error:
        raise EchoError(f"{path} is damaged: {error}") from error


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
