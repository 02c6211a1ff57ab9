"""Post-training: policy-gradient and supervised algorithms, each a config and how it uses rollouts."""

from echochamber.rl.config import (
    ALGORITHMS,
    AlgorithmConfig,
    PolicyGradientConfig,
    RewardConfig,
    RLConfig,
    register_algorithm,
)
from echochamber.rl.expert_iteration import ExpertIterationConfig
from echochamber.rl.grpo import DAPOConfig, DrGRPOConfig, GRPOConfig, GSPOConfig
from echochamber.rl.learner import Context, Learner
from echochamber.rl.loop import PostTrainResult, post_train
from echochamber.rl.memory import post_training_bytes, rollout_bytes
from echochamber.rl.ppo import PPOConfig
from echochamber.rl.reinforce import ReinforceBaselineConfig, RLOOConfig
from echochamber.rl.rewards import Graded, RewardFn, register_reward
from echochamber.rl.sft import SFTConfig

__all__ = [
    "ALGORITHMS",
    "AlgorithmConfig",
    "Context",
    "DAPOConfig",
    "DrGRPOConfig",
    "ExpertIterationConfig",
    "GRPOConfig",
    "GSPOConfig",
    "Graded",
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
