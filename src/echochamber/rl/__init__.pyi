from .config import (
    ALGORITHMS,
    AlgorithmConfig,
    PolicyGradientConfig,
    RewardConfig,
    RLConfig,
    register_algorithm,
)
from .expert_iteration import ExpertIterationConfig
from .grpo import DAPOConfig, DrGRPOConfig, GRPOConfig, GSPOConfig
from .learner import Context, Learner
from .loop import PostTrainResult, post_train
from .memory import post_training_bytes, rollout_bytes
from .ppo import PPOConfig
from .reinforce import ReinforceBaselineConfig, RLOOConfig
from .rewards import RewardFn, register_reward
from .sft import SFTConfig

__all__ = [
    "ALGORITHMS",
    "AlgorithmConfig",
    "Context",
    "DAPOConfig",
    "DrGRPOConfig",
    "ExpertIterationConfig",
    "GRPOConfig",
    "GSPOConfig",
    "Learner",
    "PPOConfig",
    "PolicyGradientConfig",
    "PostTrainResult",
    "RLConfig",
    "RLOOConfig",
    "ReinforceBaselineConfig",
    "RewardConfig",
    "RewardFn",
    "SFTConfig",
    "post_train",
    "post_training_bytes",
    "register_algorithm",
    "register_reward",
    "rollout_bytes",
]
