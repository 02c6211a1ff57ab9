"""The settings that PPO, the GRPO family and REINFORCE share.

Defaults are those of Zhao, Meterez et al. 2025 (arXiv:2504.07912), see config.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from echochamber.base import InputError
from echochamber.model import ModelConfig, num_parameters
from echochamber.rl.config import Workload
from echochamber.rl.objectives import Aggregation, Estimator, RatioLevel
from echochamber.rl.rewards import RewardConfig

if TYPE_CHECKING:
    from echochamber.rl.learner import Context

# Bytes per reference weight on the GPU, by where the reference is kept.
_REFERENCE_BYTES = {"device": 4, "bfloat16": 2, "host": 0}


class PolicyGradientConfig(RewardConfig):
    """An arm that follows the policy gradient of its rollouts.

    Attributes:
        prompts_per_step: questions per rollout.
        prompts_per_update: questions per optimizer step, each with all its samples; None means one update
            for the whole rollout. The paper's training batch of 64 completions is 8 questions.
        epochs: passes over each rollout.
        clip_low, clip_high: the ratio's bounds 1 - low and 1 + high (Schulman et al. 2017, eq. 7).
        kl_coefficient: weight of the KL term; the paper compares 0, 1e-3 and 1e-2.
        kl_in: `loss` adds the estimate to the loss; `reward` subtracts it from each token's reward.
        kl_estimator: k1, k2 or k3 (Schulman 2020). See docs/objectives.md for where each leads.
        kl_target: KL in nats per token that the coefficient is adapted to (Ziegler et al. 2019,
            arXiv:1909.08593, sec. 2.2); None keeps the coefficient fixed.
        kl_horizon: number of completions over which the coefficient can change by its own size.
        keep_reference: where the reference's weights are kept. `device`: next to the policy's, in their
            dtype; `bfloat16`: there with half the memory, which changes its log-probabilities by rounding;
            `host`: in the computer's memory between scorings, which costs the time to move them.
        reference: `start` measures KL to the weights that the arm starts from; `none` keeps no reference.
        measure_kl: record the three estimates at each step even if no term of the objective needs them.
        entropy_bonus: weight of the mean entropy of the tokens' distributions, added to the objective.
        ratio: importance ratio of each token, or of the whole completion (GSPO: `sequence_mean`).
        aggregation: how tokens are averaged; see `objectives.token_weights`.
        dynamic_sampling: maximum number of further rollouts per step, whose groups replace those in which
            every sample is right or every sample is wrong (DAPO, sec. 3.2), by the grader's verdict and not
            by the reward; if too few are found, some of the original groups stay.
        mask_truncated: leave completions cut off by `max_new_tokens` out of the loss (DAPO, sec. 3.4).
        truncated_importance_sampling: cap on the correction for an engine whose probabilities differ
            from the trainer's; None applies no correction.
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
                "kl_target adapts kl_coefficient, which is 0 and would stay 0; give it a positive value"
            )
        if self.kl_in == "loss" and self.kl_estimator == "k1" and self.kl_coefficient > 0:
            raise ValueError(
                "k1 as a loss has an expected gradient of 0 and would regularize nothing; "
                "use k2 or k3, or kl_in: reward"
            )
        return self

    def require_groups(self) -> None:
        """For algorithms with a group baseline: refuse groups of one.

        Raises:
            ValueError: there is only one sample per prompt.
        """
        if self.samples_per_prompt < 2:
            raise ValueError(
                f"samples_per_prompt {self.samples_per_prompt}: a group of one has no mean to compare with; "
                "use at least 2"
            )

    def shared_batches(self) -> dict[str, int]:
        """Each process samples its part of a step's questions and updates on its part of each minibatch."""
        sizes = {"prompts_per_step": self.prompts_per_step}
        if self.prompts_per_update is not None:
            sizes["prompts_per_update"] = self.prompts_per_update
        return sizes

    @property
    def updates_per_step(self) -> int:
        """Optimizer steps per rollout."""
        size = self.prompts_per_update or self.prompts_per_step
        return self.epochs * (self.prompts_per_step // size)

    @property
    def questions_per_step(self) -> int:
        """All questions of a rollout."""
        return self.prompts_per_step

    def check(self, context: Context) -> None:
        """Also refuse an engine that does not record nuclei, and more questions than the task has."""
        super().check(context)
        if self.sampling.has_nucleus and not getattr(context.engine, "records_nuclei", True):
            raise InputError(
                f"top_p {self.top_p} and top_k {self.top_k}: this engine does not report its nuclei, so "
                "updates could not see the distribution that was sampled; set top_p: 1 and top_k: 0, or use "
                "the engine native"
            )
        if self.prompts_per_step > len(context.problems):
            raise InputError(
                f"prompts_per_step {self.prompts_per_step} exceeds the {len(context.problems)} problems of "
                f"task '{self.task}'; lower it or make the task larger"
            )

    def workload(self, num_problems: int) -> Workload:
        """Every completion once per epoch, plus forward passes for old and reference log-probabilities."""
        forwards = int(self.updates_per_step > 1) + int(self.reference == "start")
        prompts = self.steps * self.prompts_per_step
        passes = self.epochs + forwards / 3
        return Workload(prompts, self.samples_per_prompt, prompts * self.samples_per_prompt * passes)

    def gpu_bytes(self, shape: ModelConfig, *, num_processes: int = 1) -> dict[str, float]:
        """Training, the engine and the reference.

        A reference on the host is not counted: it is moved to the GPU only when there are no activations.
        """
        parts = super().gpu_bytes(shape, num_processes=num_processes)
        if self.reference == "start":
            parts["reference"] = float(_REFERENCE_BYTES[self.keep_reference] * num_parameters(shape))
        return parts
