"""One door to every model folder that can be read."""

from __future__ import annotations

from pathlib import Path

from echochamber.model.adapter import load_foreign_model
from echochamber.model.files import ARCHITECTURE, read_description
from echochamber.model.policy import Policy
from echochamber.model.reading import ORIGINAL_TYPES, from_hf
from echochamber.model.storage import load


def load_policy(folder: Path) -> Policy:
    """A model in whatever layout the folder has: ours, OLMo-1's two, or any other of transformers.

    OLMo-1 models become ours, others are used through `HFPolicy`.

    Raises:
        InputError: no such folder, an architecture that cannot be used, or transformers is missing.
        EchoError: weights are missing or damaged.
    """
    found = read_description(folder)
    if found.get("architecture") == ARCHITECTURE:
        return load(folder)
    if found.get("model_type") in ("olmo", *ORIGINAL_TYPES):
        return from_hf(folder)
    return load_foreign_model(folder)
