"""Post-training: policy-gradient and supervised algorithms, each a config and how it uses rollouts."""

from echochamber.rl.config import (
    ALGORITHMS,
    AlgorithmConfig,
    PolicyGradientConfig,
    RewardConfig,
    RLConfig,
    register_algorithm,
)
from echochamber.rl.grpo import GRPOConfig
from echochamber.rl.learner import Context, Learner
from echochamber.rl.loop import PostTrainResult, post_train
from echochamber.rl.rewards import Graded, RewardFn, register_reward

__all__ = [
    "ALGORITHMS",
    "AlgorithmConfig",
    "Context",
    "GRPOConfig",
    "Graded",
    "Learner",
    "PolicyGradientConfig",
    "PostTrainResult",
    "RLConfig",
    "RewardConfig",
    "RewardFn",
    "post_train",
    "register_algorithm",
    "register_reward",
]
