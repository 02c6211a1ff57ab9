"""What every post-training algorithm has in common in a study file.

Defaults are the settings of Zhao, Meterez et al. 2025 (arXiv:2504.07912) and
its released code: 64 prompts x 8 samples per rollout at temperature 0.7, Adam
(0.9, 0.95), learning rate 1e-6 with 3 % warm-up and a cosine to 10 %,
gradient clip 1, ten passes over the 7,473 GSM8K training questions.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from echochamber.base import Config, InputError, Registry, Variants, did_you_mean
from echochamber.formats import format_names
from echochamber.model import ModelConfig, num_parameters
from echochamber.rl.objectives import Aggregation, Estimator, RatioLevel
from echochamber.rl.rewards import REWARDS
from echochamber.rollout import Sampling, check_fit, rollout_bytes
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
QUESTIONS_AT_ONCE = 128
"""Questions that are sampled together where a round asks a whole task."""
# Bytes of a reference weight on the GPU, by where it is kept.
_REFERENCE_BYTES = {"device": 4, "bfloat16": 2, "host": 0}


@dataclass(frozen=True)
class Workload:
    """What an arm will do, for an estimate of its cost.

    Attributes:
        prompts: questions sampled from, over all steps.
        samples_per_prompt: completions of each.
        trained: completions that go through a training step; a forward pass without gradient counts as a
            third of one.
    """

    prompts: float = 0.0
    samples_per_prompt: float = 0.0
    trained: float = 0.0


class RLConfig(Config):
    """One post-training arm.

    Attributes:
        algorithm: which kind.
        task: name of the problem set that is trained on; an algorithm that tunes on documents needs none.
        start_from: another arm, whose final weights this one starts from; the base model if unset.
        start_step: start from the base model as it was after that many pretraining steps, one of
            `pretrain.snapshots`, instead of from its final weights.
        steps: optimizer steps on the axis of every figure.
        max_new_tokens: longest completion.
        optimizer: of the policy.
        microbatch_tokens: tokens that go through the model at once; changes memory and rounding only.
            None is 1,024 on a CPU and, on an accelerator, at most 32,768 and as many as keep activations
            within 8 GiB.
        checkpoint_every: steps between checkpoints; does not affect the result.
        precision: of matrix products: `auto` is bfloat16 autocast on a GPU and float32 elsewhere.
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
        """What the arm is tuned on; None if it makes its own training data."""
        return None

    def shared_batches(self) -> dict[str, int]:
        """Config keys and sizes that the number of processes of a torchrun job must divide."""
        return {}

    def check(self, context: Context) -> None:
        """Refuse, before any work, what does not fit the task, the model or the engine.

        Raises:
            InputError: naming the setting and what would fit.
        """

    def workload(self, num_problems: int) -> Workload:
        """What the arm will do with a task of that many problems."""
        return Workload()

    def gpu_bytes(self, shape: ModelConfig, *, num_processes: int = 1) -> dict[str, float]:
        """Peak bytes of this arm on one GPU in bfloat16, by part; their sum is the estimate (docs/gpus.md).

        Everything is counted as if it were there at once: the engine's cache stays while the policy is
        updated. Actor and critic take their steps one after the other, so gradients exist once.
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
        """The object that carries out the steps."""


@dataclass(frozen=True)
class Documents:
    """The documents an arm is tuned on: the first `count` of `source`."""

    source: SourceConfig
    count: int


class RewardConfig(RLConfig):
    """An arm that samples completions and looks at what they earn.

    Attributes:
        samples_per_prompt: completions of each question.
        temperature, top_p, top_k: how training completions are drawn; updates see the same distribution.
        reward: name of a registered reward; `random` and `always_one` are controls without signal.
        format_bonus: added to the reward of every completion of that format.
        length_penalty: subtracted for a completion of `max_new_tokens`, in proportion for shorter ones.
        soft_overlong_fraction: over this last part of `max_new_tokens` the reward falls linearly by up to 1
            (DAPO's soft overlong punishment, arXiv:2503.14476, eq. 13); 0 for none.
    """

    samples_per_prompt: int = Field(default=8, ge=1)
    temperature: float = Field(default=0.7, ge=1e-6)
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=0)
    reward: str = "correct"
    format_bonus: dict[str, float] = Field(default={})
    length_penalty: float = Field(default=0.0, ge=0)
    soft_overlong_fraction: float = Field(default=0.0, ge=0, lt=1)

    @field_validator("reward")
    @classmethod
    def _known_reward(cls, name: str) -> str:
        if name not in REWARDS:
            raise ValueError(
                f"unknown reward '{name}': expected one of {', '.join(REWARDS)}.{did_you_mean(name, REWARDS)}"
            )
        return name

    @field_validator("format_bonus")
    @classmethod
    def _known_formats(cls, bonus: dict[str, float]) -> dict[str, float]:
        for name in bonus:
            if name not in format_names():
                raise ValueError(
                    f"unknown format '{name}': expected one of {', '.join(format_names())}."
                    f"{did_you_mean(name, format_names())}"
                )
        return bonus

    @model_validator(mode="after")
    def _needs_a_task(self) -> Self:
        if not self.task:
            raise ValueError("task: missing; name the problem set that is trained on")
        return self

    @property
    def sampling(self) -> Sampling:
        """How training completions are drawn."""
        return Sampling(
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            max_new_tokens=self.max_new_tokens,
        )

    @property
    def questions_per_step(self) -> int | None:
        """None: asked in rounds."""
        return None

    def check(self, context: Context) -> None:
        """Refuse a task without problems, and prompts that leave no room for a completion."""
        if not context.problems:
            raise InputError(
                f"task '{self.task}' holds no problems; {self.algorithm} needs questions to sample from"
            )
        check_fit(
            context.tokenizer.encode_prompts([problem.question for problem in context.problems]),
            max_new_tokens=self.max_new_tokens,
            context_length=context.policy.config.context_length,
            what=f"task '{self.task}'",
        )

    def gpu_bytes(self, shape: ModelConfig, *, num_processes: int = 1) -> dict[str, float]:
        """Training, and the engine with the completions of one process."""
        questions = self.questions_per_step or QUESTIONS_AT_ONCE
        completions = max(1, questions // num_processes) * self.samples_per_prompt
        return super().gpu_bytes(shape, num_processes=num_processes) | rollout_bytes(
            shape, completions=completions, context=shape.context_length
        )


class PolicyGradientConfig(RewardConfig):
    """An arm that follows the policy gradient of its rollouts.

    Attributes:
        prompts_per_step: questions of one rollout.
        prompts_per_update: questions of one optimizer step, each with all its samples; None: one update
            for the whole rollout. The paper's train batch of 64 completions is 8.
        epochs: passes over each rollout.
        clip_low, clip_high: the ratio's bounds 1 - low and 1 + high (Schulman et al. 2017, eq. 7).
        kl_coefficient: weight of the KL term; the paper compares 0, 1e-3 and 1e-2.
        kl_in: `loss` adds the estimate to the loss; `reward` subtracts it from each token's reward.
        kl_estimator: k1, k2 or k3 (Schulman 2020). See docs/objectives.md for where each leads.
        kl_target: nats per token that the coefficient is steered to (Ziegler et al. 2019, arXiv:1909.08593,
            sec. 2.2); None keeps it fixed.
        kl_horizon: completions over which the coefficient may change by its own size.
        keep_reference: where the reference's weights lie. `device` beside the policy's, in their dtype;
            `bfloat16` there in half the memory, which moves its log-probabilities by rounding; `host` in the
            computer's memory between scorings, which costs the time to move them.
        reference: `start` measures KL to the weights the arm starts from; `none` keeps no reference.
        measure_kl: record the three estimates each step, also when no term of the objective needs them.
        entropy_bonus: weight of the mean entropy of the tokens' distributions, added to the objective.
        ratio: importance ratio of each token, or of the whole completion (GSPO: `sequence_mean`).
        aggregation: how tokens are averaged; see `objectives.token_weights`.
        dynamic_sampling: the most further rollouts per step, whose groups replace those in which every
            sample is right or every sample is wrong (DAPO, sec. 3.2), by the grader's verdict and not by what
            was paid; where too few are found, the others stay.
        mask_truncated: leave completions cut off by `max_new_tokens` out of the loss (DAPO, sec. 3.4).
        truncated_importance_sampling: cap on the correction for an engine whose probabilities differ
            from the trainer's; None applies none.
    """

    prompts_per_step: int = Field(default=64, ge=1)
    prompts_per_update: int | None = Field(default=8, ge=1)
    epochs: int = Field(default=1, ge=1)
    clip_low: float = Field(default=0.2, gt=0, lt=1)
    clip_high: float = Field(default=0.2, gt=0)
    kl_coefficient: float = Field(default=1e-3, ge=0)
    kl_in: Literal["loss", "reward"] = "loss"
    kl_estimator: Estimator = "k3"
    kl_target: float | None = Field(default=None, gt=0)
    kl_horizon: int = Field(default=10_000, ge=1)
    reference: Literal["start", "none"] = "start"
    keep_reference: Literal["device", "bfloat16", "host"] = "device"
    measure_kl: bool = True
    entropy_bonus: float = Field(default=0.0, ge=0)
    ratio: RatioLevel = "token"
    aggregation: Aggregation = "sequence_mean"
    dynamic_sampling: int = Field(default=0, ge=0)
    mask_truncated: bool = False
    truncated_importance_sampling: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.prompts_per_update is not None and self.prompts_per_step % self.prompts_per_update:
            raise ValueError(
                f"prompts_per_update {self.prompts_per_update} does not divide prompts_per_step "
                f"{self.prompts_per_step}; choose a divisor, or null for one update per rollout"
            )
        if self.reference == "none" and self.kl_coefficient > 0:
            raise ValueError(
                f"kl_coefficient {self.kl_coefficient:g} needs a reference model; set reference: start, "
                "or kl_coefficient: 0"
            )
        if self.reference == "none" and self.measure_kl:
            raise ValueError("measure_kl needs a reference model; set measure_kl: false or reference: start")
        if self.kl_target is not None and self.kl_coefficient == 0:
            raise ValueError(
                "kl_target steers kl_coefficient, which is 0 and would stay 0; give it a positive start"
            )
        if self.kl_in == "loss" and self.kl_estimator == "k1" and self.kl_coefficient > 0:
            raise ValueError(
                "k1 as a loss has an expected gradient of 0 and would regularize nothing; "
                "use k2 or k3, or kl_in: reward"
            )
        return self

    def require_groups(self) -> None:
        """For algorithms with a group baseline.

        Raises:
            ValueError: one sample per prompt.
        """
        if self.samples_per_prompt < 2:
            raise ValueError(
                f"samples_per_prompt {self.samples_per_prompt}: a group of one has no mean to compare with; "
                "use at least 2"
            )

    def shared_batches(self) -> dict[str, int]:
        """Each process samples its part of a step's questions and updates on its part of each update's."""
        sizes = {"prompts_per_step": self.prompts_per_step}
        if self.prompts_per_update is not None:
            sizes["prompts_per_update"] = self.prompts_per_update
        return sizes

    @property
    def updates_per_step(self) -> int:
        """Optimizer steps on each rollout."""
        size = self.prompts_per_update or self.prompts_per_step
        return self.epochs * (self.prompts_per_step // size)

    @property
    def questions_per_step(self) -> int:
        """All questions of a rollout."""
        return self.prompts_per_step

    def check(self, context: Context) -> None:
        """Refuse also an engine that would hide what it sampled from, and more questions than there are."""
        super().check(context)
        if self.sampling.has_nucleus and not getattr(context.engine, "records_nuclei", True):
            raise InputError(
                f"top_p {self.top_p} and top_k {self.top_k}: this engine does not tell which tokens it left, "
                "so updates could not see the distribution that was sampled; set top_p: 1 and top_k: 0, or "
                "use the engine native"
            )
        if self.prompts_per_step > len(context.problems):
            raise InputError(
                f"prompts_per_step {self.prompts_per_step} exceeds the {len(context.problems)} problems of "
                f"task '{self.task}'; lower it or make the task larger"
            )

    def workload(self, num_problems: int) -> Workload:
        """Every completion once per epoch, and forward passes for old and reference log-probabilities."""
        forwards = int(self.updates_per_step > 1) + int(self.reference == "start")
        prompts = self.steps * self.prompts_per_step
        passes = self.epochs + forwards / 3
        return Workload(prompts, self.samples_per_prompt, prompts * self.samples_per_prompt * passes)

    def gpu_bytes(self, shape: ModelConfig, *, num_processes: int = 1) -> dict[str, float]:
        """Training, the engine and the reference.

        A reference kept on the host visits the GPU when nothing has activations there, and is not counted.
        """
        parts = super().gpu_bytes(shape, num_processes=num_processes)
        if self.reference == "start":
            parts["reference"] = float(_REFERENCE_BYTES[self.keep_reference] * num_parameters(shape))
        return parts


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

    `config` has a field `algorithm: Literal[NAME]` and a method `learner`.

    Raises:
        InputError: the name is taken.
    """
    return ALGORITHMS.register(name, config)


AlgorithmConfig = Annotated[RLConfig, Variants(ALGORITHMS, "algorithm")]
"""A field of a study that holds any registered algorithm's config."""
