from .adapter import HFPolicy
from .config import SIZES, ModelConfig, PolicyConfig, flops_per_token, num_parameters, size_config
from .describing import Description, describe, describe_config
from .files import CONFIG_FILE, read_description, save_state
from .huggingface import hf_config, hf_state, require_transformers
from .loading import load_policy
from .policy import Policy
from .reading import weight_files
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
    "hf_config",
    "hf_state",
    "load_policy",
    "num_parameters",
    "read_description",
    "require_transformers",
    "rotary_tables",
    "save_state",
    "size_config",
    "weight_files",
]
