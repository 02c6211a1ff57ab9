"""The step that PPO, the GRPO family and REINFORCE share: rollout, scores, advantages, updates.

A new algorithm of this kind is a config (`PolicyGradientConfig`) and a `PolicyGradientLearner`
that defines how rewards become advantages and, if it does not use PPO's, the surrogate.

Shape suffixes: P prompts, G samples per prompt, B completions of the rollout,
b completions of a microbatch, T response tokens.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from echochamber import train
from echochamber.base import derive_seed
from echochamber.base.lazy import torch
from echochamber.rl import objectives as obj
from echochamber.rl.dynamic_sampling import with_signal
from echochamber.rl.learner import Learner
from echochamber.rl.microbatches import Microbatch, TokenOutputs, token_outputs
from echochamber.rl.packing import Sample, plan_microbatches
from echochamber.rl.policy_gradient_config import PolicyGradientConfig
from echochamber.rl.reference import Reference, steered_coefficient
from echochamber.rl.rollouts import Rollouts, collect, questions_of_step
from echochamber.rl.step_metrics import completion_row, logprob_row, pooled, ratio_row, reward_row
from echochamber.train import make_optimizer

if TYPE_CHECKING:
    from torch import Tensor

    from echochamber.model import Policy
    from echochamber.rl.learner import Context
    from echochamber.train import LossSum, StepStats

Stats = dict[str, list["StepStats"]]
"""Statistics of the optimizer steps in one training step, in order, by optimizer."""


@dataclass
class RolloutBatch:
    """A rollout with everything its updates need, on the policy's device.

    The state of a training step lives here: each field is filled once, in this order; losses only read.

    Attributes:
        rollouts: the rollout that is trained on.
        observed: the step's first rollout, before dynamic sampling replaced any group; metrics describe it.
        samples: the completions of `rollouts` as the trainer sees them.
        mask_BT: True on sampled tokens.
        trained_BT: the mask without completions that are left out of the loss.
        reward_PG: float64, on the CPU because not every device has this type.
        rollout_logp_BT: log-probabilities by the engine.
        old_logp_BT, entropy_BT: by the policy that sampled; written only by `record`.
        scored: whether those two hold all completions. With a single update per rollout they are recorded
            during that update, by its own forward pass.
        ref_logp_BT: log-probabilities by the reference, or None.
        value_BT: values of PPO's critic at rollout time.
        advantage_BT: advantages that the algorithm computes from the rewards.
        return_BT: targets of PPO's critic.
    """

    rollouts: Rollouts
    observed: Rollouts
    samples: list[Sample]
    mask_BT: Tensor
    trained_BT: Tensor
    reward_PG: Tensor
    rollout_logp_BT: Tensor
    old_logp_BT: Tensor
    entropy_BT: Tensor
    scored: bool = False
    ref_logp_BT: Tensor | None = None
    value_BT: Tensor | None = None
    advantage_BT: Tensor | None = None
    return_BT: Tensor | None = None

    def put(self, target_BT: Tensor, micro: Microbatch, value_N: Tensor) -> None:
        """Write values of a microbatch's tokens into a (B, T) buffer, detached."""
        target_BT[micro.sample_b, : micro.mask_bT.shape[1]] = micro.to_grid(value_N.detach())

    def take(self, source_BT: Tensor | None, micro: Microbatch) -> Tensor:
        """(b, T): a microbatch's part of a (B, T) buffer that has been filled."""
        assert source_BT is not None and source_BT.shape == self.mask_BT.shape, "expected a value per token"
        return source_BT[micro.sample_b, : micro.mask_bT.shape[1]]

    def record(self, micro: Microbatch, outputs: TokenOutputs) -> None:
        """Keep the log-probabilities and entropies of the policy that sampled, for one microbatch."""
        self.put(self.old_logp_BT, micro, outputs.logp_N)
        self.put(self.entropy_BT, micro, outputs.entropy_N)


class PolicyGradientLearner(Learner):
    """The shared step. An algorithm adds `advantages` and overrides whatever else it does differently.

    `surrogate` is the term of the loss in which algorithms differ; `score`, `loss`, `update_all` and `row`
    can be overridden by learners that train more than the policy (see `PPOLearner`).

    Attributes:
        policy: the weights that sample and are trained.
        reference: the weights that the arm started from, frozen; None without a KL term.
        trained: the module whose gradient is clipped as a whole; a learner may train more than the policy.
    """

    def __init__(self, config: PolicyGradientConfig, context: Context) -> None:
        super().__init__(context)
        self.config = config
        self.policy = context.policy
        self.reference = Reference(context.policy, config) if config.reference == "start" else None
        self.optimizers["policy"] = make_optimizer(context.policy, config.optimizer)
        self.trained: torch.nn.Module = context.policy
        self.extras["kl_coefficient"] = config.kl_coefficient

    @abstractmethod
    def advantages(self, batch: RolloutBatch) -> Tensor:
        """advantage_BT of a scored batch."""

    def surrogate(
        self, logp_BT: Tensor, old_logp_BT: Tensor, advantage_BT: Tensor, mask_BT: Tensor
    ) -> obj.Surrogate:
        """The surrogate for the expected advantage at each token: PPO's clipped ratio."""
        config = self.config
        return obj.clipped_surrogate(
            obj.log_ratio(logp_BT, old_logp_BT, mask_BT, config.ratio),
            advantage_BT,
            mask_BT,
            clip_low=config.clip_low,
            clip_high=config.clip_high,
        )

    def step(self, step: int) -> dict[str, Any]:
        """One rollout and its updates."""
        observed = self.rollout(step)
        rollouts = observed
        if self.config.dynamic_sampling:
            rollouts = with_signal(self, self.config, observed, step=step)
        self.extras["samples_seen"] += rollouts.num_drawn
        with self.timed("update_seconds"):
            batch = self.prepare(rollouts, observed)
            plans = self.plan(step, batch)
            first_epoch = plans[: len(plans) // self.config.epochs]
            self.score(batch, [micro for plan in first_epoch for micro in plan])
            batch.advantage_BT = self.advantages(batch)
            stats = self.update_all(step, batch, plans)
        row = self.row(batch, stats)
        self.extras["kl_coefficient"] = steered_coefficient(self.config, self.kl_coefficient, row)
        return row

    def rollout(self, step: int) -> Rollouts:
        """Sample and grade completions of this step's questions."""
        context, config = self.context, self.config
        indices = questions_of_step(context.seed, step, config.prompts_per_step, len(context.problems))
        self.batch_name = f"{len(indices)} questions, the first being {context.problems[indices[0]].key!r}"
        self.check_weights()
        context.engine.load_weights(self.policy, step)
        return collect(self, config, [context.problems[i] for i in indices], step=step)

    def prepare(self, rollouts: Rollouts, observed: Rollouts) -> RolloutBatch:
        """Move a rollout to the policy's device and allocate the buffers of its scores."""
        device, dtype = self.context.device, next(self.policy.parameters()).dtype
        dtype = torch.float64 if dtype == torch.float64 else torch.float32
        mask_BT = rollouts.mask().to(device)
        trained_BT = mask_BT
        if self.config.mask_truncated:
            whole_B = torch.tensor([not item.truncated for item in rollouts.completions], device=device)
            trained_BT = mask_BT & whole_B[:, None]
        return RolloutBatch(
            rollouts=rollouts,
            observed=observed,
            samples=rollouts.samples(),
            mask_BT=mask_BT,
            trained_BT=trained_BT,
            reward_PG=rollouts.reward_PG,
            rollout_logp_BT=rollouts.rollout_logp().to(device, dtype),
            old_logp_BT=torch.zeros(mask_BT.shape, dtype=dtype, device=device),
            entropy_BT=torch.zeros(mask_BT.shape, dtype=dtype, device=device),
        )

    def plan(self, step: int, batch: RolloutBatch) -> list[list[Microbatch]]:
        """Microbatches of each update: epochs x minibatches of whole groups, reshuffled each epoch."""
        config, num_prompts = self.config, len(batch.rollouts.prompts)
        per_epoch = config.updates_per_step // config.epochs
        plans = []
        for epoch in range(config.epochs):
            order = np.arange(num_prompts)
            if per_epoch > 1:
                rng = np.random.default_rng(derive_seed(self.context.seed, "minibatch", step, epoch))
                order = rng.permutation(num_prompts)
            plans += [self.microbatches(batch, part.tolist()) for part in np.array_split(order, per_epoch)]
        return plans

    def microbatches(self, batch: RolloutBatch, prompts: Sequence[int]) -> list[Microbatch]:
        """All completions of this process's part of the given prompts."""
        per_prompt = batch.rollouts.num_samples
        prompts = sorted(prompts)[self.context.world.part(len(prompts))]
        return plan_microbatches(
            batch.rollouts.prompts,
            batch.samples,
            [prompt * per_prompt + g for prompt in prompts for g in range(per_prompt)],
            budget_tokens=self.context.microbatch_tokens(self.config.microbatch_tokens),
            device=self.context.device,
            width=self.context.policy.config.d_model,
        )

    def needs_scores(self) -> bool:
        """Whether old log-probabilities are needed before the first update.

        With a single update on the whole rollout they are the update's own,
        detached: the ratio is exactly 1 and a forward pass is saved.
        """
        config = self.config
        return config.updates_per_step > 1 or (config.kl_in == "reward" and self.kl_coefficient > 0)

    def score(self, batch: RolloutBatch, plan: Sequence[Microbatch]) -> None:
        """Fill in reference, and where needed old, log-probabilities.

        `plan` holds the microbatches of the first epoch, so that the first update computes the same bits
        again and its ratio is exactly 1.
        """
        with torch.no_grad():
            if self.reference is not None and (self.config.measure_kl or self.kl_coefficient > 0):
                batch.ref_logp_BT = torch.zeros_like(batch.old_logp_BT)
                with self.reference.on(self.context.device) as reference:
                    for micro in plan:
                        batch.put(batch.ref_logp_BT, micro, self.outputs(reference, micro).logp_N)
                batch.ref_logp_BT = self.context.world.sum(batch.ref_logp_BT)
            if self.needs_scores():
                for micro in plan:
                    batch.record(micro, self.outputs(self.policy, micro))
                self.share_scores(batch)

    def share_scores(self, batch: RolloutBatch) -> None:
        """Give every process the scores that the others recorded for their parts."""
        world = self.context.world
        batch.old_logp_BT, batch.entropy_BT = world.sum(batch.old_logp_BT), world.sum(batch.entropy_BT)
        batch.scored = True

    def outputs(self, model: Policy, micro: Microbatch) -> TokenOutputs:
        """A model's outputs at the response tokens of a microbatch."""
        with self.context.autocast():
            return token_outputs(model, micro, temperature=self.config.temperature)

    def update_all(self, step: int, batch: RolloutBatch, plans: Sequence[Sequence[Microbatch]]) -> Stats:
        """One optimizer step per plan, in order."""
        first = step * self.config.updates_per_step
        stats = [self.update(number, batch, plan) for number, plan in enumerate(plans, start=first)]
        if not batch.scored:
            self.share_scores(batch)
        return {"policy": stats}

    def update(self, number: int, batch: RolloutBatch, plan: Sequence[Microbatch]) -> StepStats:
        """Optimizer step of the policy, number `number` of the arm.

        If nothing was scored before, this is the only update of the rollout, and its forward pass is by the
        policy that sampled: its outputs are recorded, and the loss reads them as the old log-probabilities.
        """
        config = self.config

        def loss(micro: Microbatch) -> LossSum:
            outputs = self.outputs(self.policy, micro)
            if not batch.scored:
                batch.record(micro, outputs)
            return self.loss(batch, micro, outputs)

        return train.optimizer_step(
            self.trained,
            self.optimizers["policy"],
            config.optimizer,
            plan,
            loss,
            number=number,
            total=config.steps * config.updates_per_step,
            normalizer=self.normalizer(batch, plan),
            collective=self.context.collective,
        )

    def normalizer(self, batch: RolloutBatch, plan: Sequence[Microbatch]) -> float:
        """The divisor of the weighted sums of an update's terms, over all processes."""
        trained_BT = batch.trained_BT[torch.cat([micro.sample_b for micro in plan])]
        counts = torch.stack([trained_BT.any(dim=1).sum(), trained_BT.sum()])
        num_completions, num_tokens = self.context.world.sum(counts).tolist()
        return obj.normalizer_of(
            num_completions, num_tokens, self.config.max_new_tokens, self.config.aggregation
        )

    def loss(self, batch: RolloutBatch, micro: Microbatch, outputs: TokenOutputs) -> LossSum:
        """The configured objective, summed over one microbatch."""
        config = self.config
        logp_bT, old_logp_bT = micro.to_grid(outputs.logp_N), batch.take(batch.old_logp_BT, micro)
        mask_bT, cap = batch.take(batch.trained_BT, micro), config.truncated_importance_sampling
        importance_bT = None
        if cap is not None:
            rollout_logp_bT = batch.take(batch.rollout_logp_BT, micro)
            importance_bT = obj.truncated_importance_weight(old_logp_bT, rollout_logp_bT, mask_bT, cap)
        use_kl = config.kl_in == "loss" and batch.ref_logp_BT is not None
        return obj.policy_objective(
            self.surrogate(logp_bT, old_logp_bT, batch.take(batch.advantage_BT, micro), mask_bT),
            logp_bT,
            mask_bT,
            aggregation=config.aggregation,
            importance_BT=importance_bT,
            ref_logp_BT=batch.take(batch.ref_logp_BT, micro) if use_kl else None,
            kl_coefficient=self.kl_coefficient if use_kl else 0.0,
            kl_estimator=config.kl_estimator,
            entropy_BT=micro.to_grid(outputs.entropy_N) if config.entropy_bonus > 0 else None,
            entropy_bonus=config.entropy_bonus,
        )

    @property
    def kl_coefficient(self) -> float:
        """The current KL coefficient."""
        return float(self.extras["kl_coefficient"])

    def kl_penalty(self, batch: RolloutBatch) -> Tensor | None:
        """(B, T): coefficient times the KL estimate of each token, if KL is in the reward."""
        config = self.config
        if config.kl_in != "reward" or batch.ref_logp_BT is None or self.kl_coefficient == 0:
            return None
        kl_BT = obj.kl_estimate(batch.old_logp_BT, batch.ref_logp_BT, batch.mask_BT, config.kl_estimator)
        return self.kl_coefficient * kl_BT

    def penalized_rewards(self, batch: RolloutBatch) -> Tensor:
        """(P, G): rewards minus the KL penalty summed over the completion, if KL is in the reward."""
        kl_BT = self.kl_penalty(batch)
        if kl_BT is None:
            return batch.reward_PG
        return batch.reward_PG - kl_BT.cpu().double().sum(dim=1).view_as(batch.reward_PG)

    def at_every_token(self, advantage_PG: Tensor, batch: RolloutBatch) -> Tensor:
        """One advantage per completion as (B, T)."""
        return advantage_PG.flatten()[:, None].to(batch.old_logp_BT).expand_as(batch.old_logp_BT)

    def row(self, batch: RolloutBatch, stats: Mapping[str, Sequence[StepStats]]) -> dict[str, Any]:
        """The step's metrics."""
        policy = stats["policy"]
        count = max(len(policy), 1)
        return {
            **reward_row(batch.observed.reward_PG),
            **completion_row(batch.observed.completions),
            **logprob_row(
                batch.old_logp_BT, batch.ref_logp_BT, batch.rollout_logp_BT, batch.entropy_BT, batch.mask_BT
            ),
            **ratio_row(pooled([item.metrics for item in policy])),
            "kl_coefficient": self.kl_coefficient,
            "loss": sum(item.loss for item in policy) / count,
            "grad_norm": sum(item.grad_norm for item in policy) / count,
            "learning_rate": self.optimizers["policy"].param_groups[0]["lr"],
            "samples_seen": self.extras["samples_seen"],
        }
