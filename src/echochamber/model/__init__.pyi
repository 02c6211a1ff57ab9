from .adapter import HFPolicy
from .config import SIZES, ModelConfig, flops_per_token, num_parameters, size_config
from .describing import Description, describe, describe_config
from .files import CONFIG_FILE, read_description, save_state
from .huggingface import hf_config, hf_state, require_transformers, to_hf
from .loading import load_policy
from .policy import Policy, PolicyConfig
from .reading import from_hf, weight_files
from .storage import load, save
from .transformer import Transformer, build, rotary_tables
from .value import ValueHead, ValueModel

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
