from .config import (
    ALGORITHMS,
    AlgorithmConfig,
    Documents,
    RLConfig,
    Workload,
    register_algorithm,
)
from .expert_iteration import ExpertIterationConfig
from .grpo import (
    DAPOConfig,
    DrGRPOConfig,
    GroupConfig,
    GroupLearner,
    GRPOConfig,
    GSPOConfig,
    group_advantages,
)
from .learner import Context, Learner
from .logprobs import Nuclei, logprobs_and_entropy
from .loop import PostTrainResult, post_train
from .objectives import Surrogate
from .policy_gradient import PolicyGradientLearner, RolloutBatch
from .policy_gradient_config import PolicyGradientConfig
from .ppo import PPOConfig
from .reinforce import ReinforceBaselineConfig, RLOOConfig
from .rewards import RewardConfig, RewardFn, register_reward
from .sft import SFTConfig

__all__ = [
    "ALGORITHMS",
    "AlgorithmConfig",
    "Context",
    "DAPOConfig",
    "Documents",
    "DrGRPOConfig",
    "ExpertIterationConfig",
    "GRPOConfig",
    "GSPOConfig",
    "GroupConfig",
    "GroupLearner",
    "Learner",
    "Nuclei",
    "PPOConfig",
    "PolicyGradientConfig",
    "PolicyGradientLearner",
    "PostTrainResult",
    "RLConfig",
    "RLOOConfig",
    "ReinforceBaselineConfig",
    "RewardConfig",
    "RewardFn",
    "RolloutBatch",
    "SFTConfig",
    "Surrogate",
    "Workload",
    "group_advantages",
    "logprobs_and_entropy",
    "post_train",
    "register_algorithm",
    "register_reward",
]
