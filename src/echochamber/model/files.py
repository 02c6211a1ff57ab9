"""The files of a model folder: weights and `config.json`, each written atomically."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors

from echochamber.base import EchoError, InputError, explained_write, read_json, write_file, write_json
from echochamber.model.config import ModelConfig

if TYPE_CHECKING:
    from torch import Tensor

ARCHITECTURE = "echochamber-transformer"
LAYOUT = 1
WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"


def save_state(state: Mapping[str, Tensor], config: ModelConfig, folder: Path) -> None:
    """Write weights gathered elsewhere, e.g. from several processes, in the form of `Policy.write`."""
    description = {"architecture": ARCHITECTURE, "layout": LAYOUT, "model": config.model_dump(mode="json")}
    write_weights(state, folder, description)


def write_weights(state: Mapping[str, Tensor], folder: Path, description: Mapping[str, Any]) -> None:
    """Write weights, then `config.json`, without which readers refuse the folder; each file atomically.

    Raises:
        EchoError: the disk refused.
    """
    from safetensors.torch import save

    with explained_write(folder):
        folder.mkdir(parents=True, exist_ok=True)
        # An older model in that folder must become unreadable before its weights change.
        (folder / CONFIG_FILE).unlink(missing_ok=True)
    plain = {name: tensor.detach().to("cpu").contiguous() for name, tensor in state.items()}
    write_file(folder / WEIGHTS_FILE, save(plain, metadata={"format": "pt"}))
    write_json(folder / CONFIG_FILE, dict(description))


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


def read_weights(path: Path) -> dict[str, Tensor]:
    """All tensors of one safetensors file.

    Raises:
        EchoError: missing or damaged.
    """
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except FileNotFoundError as error:
        raise EchoError(f"{path} is missing") from error
    except (safetensors.SafetensorError, OSError) as error:
        raise EchoError(f"{path} is damaged: {error}") from error
