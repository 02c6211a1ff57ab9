"""The OLMo-style transformer: sizes, forward pass, folders on disk, Hugging Face interop, value head."""

from echochamber.model.config import SIZES, ModelConfig, flops_per_token, num_parameters, size_config
from echochamber.model.huggingface import (
    from_hf,
    hf_config,
    hf_model_config,
    hf_state,
    read_description,
    to_hf,
)
from echochamber.model.reading import weight_files
from echochamber.model.storage import CONFIG_FILE, load, save, save_state
from echochamber.model.transformer import Transformer, build, rotary_tables
from echochamber.model.value import ValueHead, ValueModel

__all__ = [
    "CONFIG_FILE",
    "SIZES",
    "ModelConfig",
    "Transformer",
    "ValueHead",
    "ValueModel",
    "build",
    "flops_per_token",
    "from_hf",
    "hf_config",
    "hf_model_config",
    "hf_state",
    "load",
    "num_parameters",
    "read_description",
    "rotary_tables",
    "save",
    "save_state",
    "size_config",
    "to_hf",
    "weight_files",
]
