"""The OLMo-style transformer: sizes, forward pass, folders on disk, Hugging Face interop, value head."""

from echochamber.model.adapter import HFPolicy
from echochamber.model.config import SIZES, ModelConfig, flops_per_token, num_parameters, size_config
from echochamber.model.describing import Description, describe, describe_config
from echochamber.model.files import CONFIG_FILE, read_description, save_state
from echochamber.model.huggingface import hf_config, hf_state, require_transformers, to_hf
from echochamber.model.loading import load_policy
from echochamber.model.policy import Policy, PolicyConfig
from echochamber.model.reading import from_hf, weight_files
from echochamber.model.storage import load, save
from echochamber.model.transformer import Transformer, build, rotary_tables
from echochamber.model.value import ValueHead, ValueModel

__all__ = [
    "CONFIG_FILE",
    "SIZES",
    "Description",
    "HFPolicy",
    "ModelConfig",
    "Policy",
    "PolicyConfig",
    "Transformer",
    "ValueHead",
    "ValueModel",
    "build",
    "describe",
    "describe_config",
    "flops_per_token",
    "from_hf",
    "hf_config",
    "hf_state",
    "load",
    "load_policy",
    "num_parameters",
    "read_description",
    "require_transformers",
    "rotary_tables",
    "save",
    "save_state",
    "size_config",
    "to_hf",
    "weight_files",
]
