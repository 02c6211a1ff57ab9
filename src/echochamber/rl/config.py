"""The settings that all post-training algorithms have in common in a study file.

Defaults are the settings of Zhao, Meterez et al. 2025 (arXiv:2504.07912) and
its released code: 64 prompts x 8 samples per rollout at temperature 0.7, Adam
(0.9, 0.95), learning rate 1e-6 with 3 % warm-up and a cosine to 10 %,
gradient clip 1, ten passes over the 7,473 GSM8K training questions.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from echochamber.base import Config, InputError, Registry, Variants, tag_of
from echochamber.model import ModelConfig, num_parameters
from echochamber.train import (
    WORKSPACE_BYTES,
    OptimizerConfig,
    activation_bytes_per_token,
    kept_bytes,
    microbatch_that_fits,
    step_bytes,
)

if TYPE_CHECKING:
    from echochamber.corpora import SourceConfig
    from echochamber.rl.learner import Context, Learner

PAPER_OPTIMIZER = OptimizerConfig(learning_rate=1e-6, weight_decay=0.0)
PAPER_STEPS = 1168
"""Ten passes over 7,473 questions, 64 per step."""


@dataclass(frozen=True)
class Workload:
    """What an arm will do, for an estimate of its cost.

    Attributes:
        prompts: questions sampled from, over all steps.
        samples_per_prompt: completions per question.
        trained: completions that go through a training step; a forward pass without gradients counts as a
            third of one.
    """

    prompts: float = 0.0
    samples_per_prompt: float = 0.0
    trained: float = 0.0


class RLConfig(Config):
    """One post-training arm.

    Attributes:
        algorithm: name of the algorithm.
        task: name of the problem set to train on; an algorithm that tunes on documents needs none.
        start_from: another arm, whose final weights this one starts from; the base model if unset.
        start_step: start from the base model as it was after this many pretraining steps, one of
            `pretrain.snapshots`, instead of from its final weights.
        steps: number of training steps, the length of the axis in every figure.
        max_new_tokens: length of the longest completion.
        optimizer: optimizer of the policy.
        microbatch_tokens: tokens that go through the model at once; changes only memory and rounding.
            None means 1,024 on a CPU and, on an accelerator, at most 32,768 and as many as keep activations
            within 8 GiB.
        checkpoint_every: steps between checkpoints; does not affect the result.
        precision: precision of matrix products: `auto` is bfloat16 autocast on a GPU, float32 elsewhere.
    """

    algorithm: str
    task: str = ""
    start_from: str | None = None
    start_step: int | None = Field(default=None, ge=1)
    steps: int = Field(default=PAPER_STEPS, ge=1)
    max_new_tokens: int = Field(default=1024, ge=1)
    optimizer: OptimizerConfig = PAPER_OPTIMIZER
    microbatch_tokens: int | None = Field(default=None, ge=1)
    checkpoint_every: int = Field(default=20, ge=1)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"

    @property
    def total_steps(self) -> int:
        """Number of the last step."""
        return self.steps

    @property
    def questions_per_step(self) -> int | None:
        """Questions asked in each step; 0 if the arm samples nothing, None if it asks them in rounds."""
        return 0

    @property
    def documents(self) -> Documents | None:
        """The documents that the arm is tuned on; None if it makes its own training data."""
        return None

    def shared_batches(self) -> dict[str, int]:
        """Config keys and sizes that the number of processes of a torchrun job must divide."""
        return {}

    def check(self, context: Context) -> None:
        """Refuse, before any work, settings that do not fit the task, the model or the engine.

        Raises:
            InputError: names the setting and a value that would fit.
        """

    def workload(self, num_problems: int) -> Workload:
        """What the arm will do with a task of this many problems."""
        return Workload()

    def gpu_bytes(self, shape: ModelConfig, *, num_processes: int = 1) -> dict[str, float]:
        """Peak bytes of this arm on one GPU in bfloat16, by part; their sum is the estimate (docs/gpus.md).

        Everything is counted as if it existed at the same time: the engine keeps its cache while the policy
        is updated. Actor and critic take their steps one after the other, so gradients are counted once.
        """
        parameters = num_parameters(shape)
        tokens = self.microbatch_tokens or microbatch_that_fits(shape)
        return {
            **{f"policy: {name}": size for name, size in kept_bytes(parameters).items()},
            **step_bytes(parameters),
            "activations": activation_bytes_per_token(shape) * tokens,
            # Logits at response tokens and their gradient, both in bfloat16.
            "logits": 4.0 * shape.vocab_size * tokens,
            "workspace": float(WORKSPACE_BYTES),
        }

    @abstractmethod
    def learner(self, context: Context) -> Learner:
        """The learner that carries out the steps."""


@dataclass(frozen=True)
class Documents:
    """The documents that an arm is tuned on: the first `count` of `source`."""

    source: SourceConfig
    count: int


ALGORITHMS: Registry[type[RLConfig]] = Registry(
    "algorithm",
    modules=(
        "echochamber.rl.grpo",
        "echochamber.rl.ppo",
        "echochamber.rl.reinforce",
        "echochamber.rl.expert_iteration",
        "echochamber.rl.sft",
    ),
)


def register_algorithm(name: str, config: type[RLConfig]) -> type[RLConfig]:
    """Make an algorithm usable in a study as `algorithm: NAME`.

    `config` has a field `algorithm: Literal[NAME] = NAME` and a method `learner`.

    Raises:
        InputError: the name is taken, or `config` calls itself something else or has no `learner`.
    """
    if (own := tag_of(config, RLConfig, "algorithm", f"algorithm '{name}':")) != name:
        raise InputError(
            f"the algorithm '{name}': {config.__name__} calls itself '{own}'; give both the same name"
        )
    return ALGORITHMS.register(name, config)


AlgorithmConfig = Annotated[RLConfig, Variants(ALGORITHMS, "algorithm")]
"""A field of a study that holds any registered algorithm's config."""
