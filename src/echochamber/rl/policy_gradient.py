"""Rollout, score, advantages, updates: the step that PPO, the GRPO family and REINFORCE share.

Shape suffixes: P prompts, G samples a prompt, B completions of the rollout,
b completions of a microbatch, T response tokens.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from echochamber.base import derive_seed
from echochamber.model import Policy
from echochamber.rl import objectives as obj
from echochamber.rl.advantages import discounted_returns, no_signal
from echochamber.rl.batches import Microbatch, Sample, plan_microbatches
from echochamber.rl.config import PolicyGradientConfig
from echochamber.rl.dynamics import completion_row, logprob_row, pooled, ratio_row, reward_row
from echochamber.rl.learner import Context, Learner
from echochamber.rl.policy import TokenOutputs, token_outputs
from echochamber.rl.rollouts import Rollouts, collect, further_questions, questions_of_step
from echochamber.train import (
    LossSum,
    StepStats,
    learning_rate_at,
    make_optimizer,
    set_learning_rate,
    train_step,
)


@dataclass
class Batch:
    """A rollout with everything the updates need, on the policy's device.

    Attributes:
        rollouts: as trained on.
        observed: the step's first rollout, before dynamic sampling replaced any group; metrics describe it.
        samples: the same for the trainer.
        mask_BT: True on sampled tokens.
        trained_BT: the mask without completions that the loss leaves out.
        reward_PG: float64, on the CPU: not every device has the type.
        old_logp_BT, entropy_BT: by the policy that sampled; filled by `score`, or by the first update.
        ref_logp_BT: by the reference, or None.
        scored: `old_logp_BT` is filled.
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
    ref_logp_BT: Tensor | None = None
    scored: bool = False

    def put(self, target_BT: Tensor, batch: Microbatch, value_N: Tensor) -> None:
        """Write values of a microbatch's tokens into a (B, T) buffer."""
        target_BT[batch.sample_b, : batch.mask_bT.shape[1]] = batch.to_grid(value_N.detach())

    def take(self, source_BT: Tensor, batch: Microbatch) -> Tensor:
        """(b, T): a microbatch's part of a (B, T) buffer."""
        return source_BT[batch.sample_b, : batch.mask_bT.shape[1]]


def _kept(reference: Policy, where: str) -> Policy:
    """The reference in the memory that `keep_reference` names."""
    if where == "host":
        return reference.to("cpu")
    if where == "bfloat16":
        # The parameters alone: rotary tables need the digits of float32.
        for parameter in reference.parameters():
            parameter.data = parameter.data.to(torch.bfloat16)
    return reference


class PolicyGradientLearner(Learner):
    """The shared step; an algorithm adds how rewards become advantages."""

    def __init__(self, config: PolicyGradientConfig, context: Context) -> None:
        super().__init__(context)
        self.config = config
        self.policy = context.policy
        self.reference = None
        if config.reference == "start":
            self.reference = _kept(copy.deepcopy(context.policy).requires_grad_(False), config.keep_reference)
        self.optimizers["policy"] = make_optimizer(context.policy, config.optimizer)
        self.trained: nn.Module = context.policy
        self.extras["kl_coefficient"] = config.kl_coefficient

    @abstractmethod
    def advantages(self, batch: Batch) -> Tensor:
        """advantage_BT of a scored batch."""

    def penalised_rewards(self, batch: Batch) -> Tensor:
        """(P, G): rewards less the KL penalty summed over the completion, if KL is in the reward."""
        kl_BT = self.kl_penalty(batch)
        if kl_BT is None:
            return batch.reward_PG
        return batch.reward_PG - kl_BT.cpu().double().sum(dim=1).view_as(batch.reward_PG)

    def kl_penalty(self, batch: Batch) -> Tensor | None:
        """(B, T): coefficient times the KL estimate of each token, if KL is in the reward."""
        config = self.config
        if config.kl_in != "reward" or batch.ref_logp_BT is None or self.kl_coefficient == 0:
            return None
        kl_BT = obj.kl_estimate(batch.old_logp_BT, batch.ref_logp_BT, batch.mask_BT, config.kl_estimator)
        return self.kl_coefficient * kl_BT

    def kl_returns(self, batch: Batch) -> Tensor:
        """(B, T): minus the KL penalty of this and all later tokens, if KL is in the reward, else 0."""
        kl_BT = self.kl_penalty(batch)
        if kl_BT is None:
            return torch.zeros_like(batch.old_logp_BT)
        return discounted_returns(-kl_BT, batch.mask_BT)

    def at_every_token(self, advantage_PG: Tensor, batch: Batch) -> Tensor:
        """One advantage a completion as (B, T)."""
        return advantage_PG.flatten()[:, None].to(batch.old_logp_BT).expand_as(batch.old_logp_BT)

    @property
    def kl_coefficient(self) -> float:
        """The KL weight in force."""
        return float(self.extras["kl_coefficient"])

    def needs_scores(self) -> bool:
        """Whether old log-probabilities are needed before the first update.

        With a single update on the whole rollout they are the update's own,
        detached: the ratio is exactly 1 and a forward pass is saved.
        """
        config = self.config
        return config.updates_per_step > 1 or (config.kl_in == "reward" and self.kl_coefficient > 0)

    def step(self, step: int) -> dict[str, Any]:
        """One rollout and its updates."""
        observed = self.rollout(step)
        rollouts = self.with_signal(step, observed) if self.config.dynamic_sampling else observed
        self.extras["samples_seen"] += rollouts.num_drawn
        with self.timed("update_seconds"):
            batch = self.prepare(rollouts, observed)
            plans = self.plan(step, batch)
            first_epoch = plans[: len(plans) // self.config.epochs]
            self.score(batch, [micro for plan in first_epoch for micro in plan])
            advantage_BT = self.advantages(batch)
            stats = self.update_all(step, batch, advantage_BT, plans)
        row = self.row(batch, stats)
        self.steer_kl(row)
        return row

    def rollout(self, step: int) -> Rollouts:
        """Ask this step's questions."""
        context, config = self.context, self.config
        indices = questions_of_step(context.seed, step, config.prompts_per_step, len(context.problems))
        self.batch = f"{len(indices)} questions, the first being {context.problems[indices[0]].key!r}"
        self.check_weights()
        context.engine.load_weights(self.policy, step)
        return collect(self, config, [context.problems[i] for i in indices], step=step)

    def with_signal(self, step: int, rollouts: Rollouts) -> Rollouts:
        """Replace groups that are all right or all wrong by others, drawn further in this step.

        DAPO (arXiv:2503.14476, eq. 11) asks how many answers are correct, not what they were paid: a
        penalty on length alone, or a bonus for a format, does not make a group worth keeping.
        """
        context, config, wanted = self.context, self.config, len(rollouts.prompts)
        teaches = ~no_signal(rollouts.correct())
        taught = rollouts.groups(torch.nonzero(teaches).flatten().tolist())
        spare = rollouts.groups(torch.nonzero(~teaches).flatten().tolist())
        for draw in range(1, config.dynamic_sampling + 1):
            if len(taught.prompts) >= wanted:
                break
            indices = further_questions(context.seed, step, draw, wanted, len(context.problems))
            problems = [context.problems[i] for i in indices]
            further = collect(self, config, problems, step=step, first_slot=draw * wanted)
            chosen = torch.nonzero(~no_signal(further.correct())).flatten().tolist()
            taught = taught.joined(further.groups(chosen))
        missing = wanted - len(taught.prompts)
        if missing > 0:
            drawn = taught.num_drawn
            taught = replace(taught.joined(spare.groups(range(missing))), num_drawn=drawn)
        return taught.groups(range(wanted))

    def steer_kl(self, row: Mapping[str, Any]) -> None:
        """Move the KL coefficient towards its target (Ziegler et al. 2019, sec. 2.2)."""
        config = self.config
        if config.kl_target is None:
            return
        measured = row["kl"] if config.kl_estimator == "k3" else row[f"kl_{config.kl_estimator}"]
        error = min(max(measured / config.kl_target - 1, -0.2), 0.2)
        num_completions = config.prompts_per_step * config.samples_per_prompt
        self.extras["kl_coefficient"] *= 1 + error * num_completions / config.kl_horizon

    def prepare(self, rollouts: Rollouts, observed: Rollouts) -> Batch:
        """Move a rollout to the policy's device and make room for scores."""
        device, dtype = self.context.device, next(self.policy.parameters()).dtype
        dtype = torch.float64 if dtype == torch.float64 else torch.float32
        mask_BT = rollouts.mask().to(device)
        trained_BT = mask_BT
        if self.config.mask_truncated:
            whole_B = torch.tensor([not item.truncated for item in rollouts.completions], device=device)
            trained_BT = mask_BT & whole_B[:, None]
        return Batch(
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

    def plan(self, step: int, batch: Batch) -> list[list[Microbatch]]:
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

    def microbatches(self, batch: Batch, prompts: Sequence[int]) -> list[Microbatch]:
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

    @torch.no_grad()
    def score(self, batch: Batch, plan: Sequence[Microbatch]) -> None:
        """Fill in reference, and where needed old, log-probabilities.

        `plan` holds the microbatches of the first epoch, so that the first update computes the same bits
        again and its ratio is exactly 1.
        """
        config = self.config
        if self.reference is not None and (config.measure_kl or self.kl_coefficient > 0):
            batch.ref_logp_BT = torch.zeros_like(batch.old_logp_BT)
            self.reference.to(self.context.device)
            for micro in plan:
                batch.put(batch.ref_logp_BT, micro, self.outputs(self.reference, micro).logp_N)
            if config.keep_reference == "host":
                self.reference.to("cpu")
            batch.ref_logp_BT = self.context.world.sum(batch.ref_logp_BT)
        if self.needs_scores():
            for micro in plan:
                self.score_policy(batch, micro, self.outputs(self.policy, micro))
            self.share_scores(batch)
            batch.scored = True

    def share_scores(self, batch: Batch) -> None:
        """Every process gets what each said about its part; the other entries are 0."""
        world = self.context.world
        batch.old_logp_BT, batch.entropy_BT = world.sum(batch.old_logp_BT), world.sum(batch.entropy_BT)

    def outputs(self, model: Policy, micro: Microbatch) -> TokenOutputs:
        """What a model says about the response tokens of a microbatch."""
        with self.context.autocast():
            return token_outputs(model, micro, temperature=self.config.temperature)

    def score_policy(self, batch: Batch, micro: Microbatch, outputs: TokenOutputs) -> None:
        """Keep what the sampling policy said about a microbatch."""
        batch.put(batch.old_logp_BT, micro, outputs.logp_N)
        batch.put(batch.entropy_BT, micro, outputs.entropy_N)

    def update_all(
        self, step: int, batch: Batch, advantage_BT: Tensor, plans: Sequence[Sequence[Microbatch]]
    ) -> list[StepStats]:
        """One optimiser step for each plan, in order."""
        stats = [self.update(step, index, batch, advantage_BT, plan) for index, plan in enumerate(plans)]
        if not batch.scored:
            self.share_scores(batch)
        return stats

    def normalizer(self, batch: Batch, plan: Sequence[Microbatch]) -> float:
        """What the weighted sums of an update's terms, over all processes, are divided by."""
        trained_BT = batch.trained_BT[torch.cat([micro.sample_b for micro in plan])]
        counts = torch.stack([trained_BT.any(dim=1).sum(), trained_BT.sum()])
        num_completions, num_tokens = self.context.world.sum(counts).tolist()
        return obj.normalizer_of(
            num_completions,
            num_tokens,
            self.config.max_new_tokens,
            self.config.aggregation,
        )

    def update(
        self, step: int, index: int, batch: Batch, advantage_BT: Tensor, plan: Sequence[Microbatch]
    ) -> StepStats:
        """One optimiser step of the policy."""
        config = self.config
        number = step * config.updates_per_step + index
        total = config.steps * config.updates_per_step
        set_learning_rate(self.optimizers["policy"], learning_rate_at(number, config.optimizer, total))
        return train_step(
            self.trained,
            self.optimizers["policy"],
            plan,
            lambda micro: self.loss(batch, advantage_BT, micro),
            normalizer=self.normalizer(batch, plan),
            max_grad_norm=config.optimizer.clip,
            collective=self.context.collective,
        )

    def loss(self, batch: Batch, advantage_BT: Tensor, micro: Microbatch) -> LossSum:
        """Weighted sum of the objective's terms over one microbatch."""
        outputs = self.outputs(self.policy, micro)
        if not batch.scored:
            self.score_policy(batch, micro, outputs)
        return self.policy_loss(batch, advantage_BT, micro, outputs)

    def policy_loss(
        self, batch: Batch, advantage_BT: Tensor, micro: Microbatch, outputs: TokenOutputs
    ) -> LossSum:
        """The configured objective on one microbatch."""
        config = self.config
        use_kl = config.kl_in == "loss" and batch.ref_logp_BT is not None
        return obj.policy_objective(
            micro.to_grid(outputs.logp_N),
            batch.take(batch.old_logp_BT, micro),
            batch.take(advantage_BT, micro),
            batch.take(batch.trained_BT, micro),
            aggregation=config.aggregation,
            ratio=config.ratio,
            clip_low=config.clip_low,
            clip_high=config.clip_high,
            ref_logp_BT=None if batch.ref_logp_BT is None else batch.take(batch.ref_logp_BT, micro),
            kl_coefficient=self.kl_coefficient if use_kl else 0.0,
            kl_estimator=config.kl_estimator,
            entropy_BT=micro.to_grid(outputs.entropy_N) if config.entropy_bonus > 0 else None,
            entropy_bonus=config.entropy_bonus,
            rollout_logp_BT=batch.take(batch.rollout_logp_BT, micro),
            importance_cap=config.truncated_importance_sampling,
        )

    def row(self, batch: Batch, stats: Sequence[StepStats]) -> dict[str, Any]:
        """The step's metrics."""
        count = max(len(stats), 1)
        return {
            **reward_row(batch.observed.reward_PG),
            **completion_row(batch.observed.completions),
            **logprob_row(
                batch.old_logp_BT, batch.ref_logp_BT, batch.rollout_logp_BT, batch.entropy_BT, batch.mask_BT
            ),
            **ratio_row(pooled([item.metrics for item in stats])),
            "kl_coefficient": self.kl_coefficient,
            "loss": sum(item.loss for item in stats) / count,
            "grad_norm": sum(item.grad_norm for item in stats) / count,
            "learning_rate": self.optimizers["policy"].param_groups[0]["lr"],
            "samples_seen": self.extras["samples_seen"],
        }
