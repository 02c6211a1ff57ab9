"""Where each objective leads: a bandit whose actions are (format, outcome) pairs.

A table of logits in place of a model, everything else the real code: advantages and losses of
each learner, on sampled groups, until the policy rests. The derivations are in docs/objectives.md.
"""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from rl_toy import ToyGrader, ToyTokenizer, toy_completion, toy_policy, toy_problems
from torch import Tensor

from echochamber.rl import (
    Context,
    DrGRPOConfig,
    ExpertIterationConfig,
    GRPOConfig,
    PolicyGradientConfig,
    PPOConfig,
    ReinforceBaselineConfig,
    RLOOConfig,
)
from echochamber.rl.expert_iteration import choose
from echochamber.rl.microbatches import Microbatch, TokenOutputs
from echochamber.rl.policy_gradient import PolicyGradientLearner, RolloutBatch
from echochamber.verify import Outcome, Verdict

SHARES = (0.5, 0.3, 0.2)
ACCURACIES = (0.3, 0.6, 0.5)
# Actions: correct in each format, then wrong in each format.
BASE = torch.tensor(
    [s * a for s, a in zip(SHARES, ACCURACIES, strict=True)]
    + [s * (1 - a) for s, a in zip(SHARES, ACCURACIES, strict=True)],
    dtype=torch.float64,
)
REWARD = torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
P0 = float((BASE * REWARD).sum())
BETA, GROUP, PROMPTS = 0.5, 8, 128


def scaled_advantages(p: float, *, std: bool) -> tuple[float, float]:
    """Expected advantage of a correct and of a wrong sample when a sample is correct with probability p."""
    if not std:
        own = (GROUP - 1) / GROUP  # the group mean contains the sample itself
        return own * (1 - p), -own * p
    right = wrong = 0.0
    for others in range(GROUP):
        chance = math.comb(GROUP - 1, others) * p**others * (1 - p) ** (GROUP - 1 - others)
        for count, correct in ((others + 1, True), (others, False)):
            spread = math.sqrt(count * (GROUP - count) / (GROUP * (GROUP - 1)))
            if spread == 0:
                continue
            if correct:
                right += chance * (1 - count / GROUP) / spread
            else:
                wrong -= chance * (count / GROUP) / spread
    return right, wrong


def bisect(excess: Any) -> float:
    low, high = 1e-9, 1 - 1e-9
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return low


def tilted(beta: float) -> float:
    """Accuracy of base x exp(r / beta)."""
    weight = P0 * math.exp(1 / beta)
    return weight / (weight + 1 - P0)


def reverse_kl_rest(*, std: bool) -> float:
    """p where log(pi / base) = A(p) / beta + constant: the k2 loss."""

    def excess(p: float) -> float:
        right, wrong = scaled_advantages(p, std=std)
        odds = P0 / (1 - P0) * math.exp((right - wrong) / BETA)
        return odds / (1 + odds) - p

    return bisect(excess)


def forward_kl_rest(*, std: bool) -> float:
    """p where pi (beta - A(p)) = beta base: the k3 loss."""
    return bisect(lambda p: BETA * P0 - p * (BETA - scaled_advantages(p, std=std)[0]))


def learner_of(config: PolicyGradientConfig) -> PolicyGradientLearner:
    context = Context(
        policy=toy_policy(), tokenizer=ToyTokenizer(), problems=toy_problems(), grader=ToyGrader(),  # type: ignore[arg-type]
        engine=cast(Any, None), folder=Path(), seed=1,
    )  # fmt: skip
    learner = config.learner(context)
    assert isinstance(learner, PolicyGradientLearner)
    return learner


def rest_of(config: PolicyGradientConfig, steps: int = 250) -> Tensor:
    """The mean policy over the last quarter of a run on the bandit."""
    learner = learner_of(config)
    generator = torch.Generator().manual_seed(7)
    logits = BASE.log().clone().requires_grad_(True)
    optimizer = torch.optim.Adam([logits], lr=0.15, betas=(0.0, 0.99))
    count = PROMPTS * GROUP
    row = torch.arange(count)
    micro = Microbatch(
        sample_b=row, mask_bT=torch.ones(count, 1, dtype=torch.bool), token_RS=row, position_RS=None,
        allowed_R1SS=None, source_N=row, target_N=row, slot_N=row, nuclei=None,
    )  # fmt: skip
    value, seen = P0, []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 0.15 * (1 - step / steps) ** 2 + 1e-4
        logp = torch.log_softmax(logits, dim=0)
        action = torch.multinomial(logp.detach().exp(), count, replacement=True, generator=generator)
        batch = RolloutBatch(
            rollouts=cast(Any, SimpleNamespace()), observed=cast(Any, None), samples=[],
            mask_BT=micro.mask_bT, trained_BT=micro.mask_bT, reward_PG=REWARD[action].view(PROMPTS, GROUP),
            rollout_logp_BT=logp.detach()[action, None], old_logp_BT=logp.detach()[action, None],
            entropy_BT=torch.zeros(count, 1), ref_logp_BT=BASE.log()[action, None], scored=True,
        )  # fmt: skip
        batch.value_BT = torch.full((count, 1), value, dtype=torch.float64)
        batch.advantage_BT = learner.advantages(batch)
        if batch.return_BT is not None:
            value += 0.2 * float(batch.return_BT.mean() - value)
        outputs = TokenOutputs(logp[action], torch.zeros(count), torch.zeros(count, 1))
        optimizer.zero_grad()
        (learner.loss(batch, micro, outputs).total / count).backward()
        optimizer.step()
        if step >= 0.75 * steps:
            seen.append(torch.softmax(logits.detach(), dim=0))
    return torch.stack(seen).mean(dim=0)


COMMON: dict[str, Any] = {
    "task": "toy", "samples_per_prompt": GROUP, "prompts_per_step": PROMPTS, "prompts_per_update": None,
    "max_new_tokens": 1, "kl_coefficient": BETA,
}  # fmt: skip
IN_REWARD = {"kl_in": "reward", "kl_estimator": "k1"}

CASES: dict[str, tuple[PolicyGradientConfig, float]] = {
    "RLOO, k1 in the reward": (RLOOConfig(**COMMON), tilted(BETA)),
    "PPO, k1 in the reward": (PPOConfig(**COMMON), tilted(BETA)),
    "group mean, k1 in the reward": (DrGRPOConfig(**COMMON, **IN_REWARD), tilted(BETA)),
    "group std, k1 in the reward": (GRPOConfig(**COMMON, **IN_REWARD), tilted(BETA)),
    "REINFORCE++, group mean without KL": (
        # The mean of the group contains the sample: rewards count (G - 1) / G, the KL counts whole.
        ReinforceBaselineConfig(**COMMON), tilted(BETA * GROUP / (GROUP - 1)),
    ),
    "group mean, k2 as a loss": (
        DrGRPOConfig(**COMMON, kl_estimator="k2"), tilted(BETA * GROUP / (GROUP - 1)),
    ),
    "group mean, k3 as a loss": (DrGRPOConfig(**COMMON), forward_kl_rest(std=False)),
    "GRPO: group std, k3 as a loss": (GRPOConfig(**COMMON), forward_kl_rest(std=True)),
    "group std, k2 as a loss": (GRPOConfig(**COMMON, kl_estimator="k2"), reverse_kl_rest(std=True)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_each_objective_rests_at_its_own_fixed_point(case: str) -> None:
    """Within 0.015 in accuracy and in the share of every (format, outcome) pair."""
    config, p = CASES[case]
    found = rest_of(config)
    expected = torch.cat([BASE[:3] / P0 * p, BASE[3:] / (1 - P0) * (1 - p)])
    assert float(found[:3].sum()) == pytest.approx(p, abs=0.015)
    torch.testing.assert_close(found, expected, rtol=0, atol=0.015)


def test_the_fixed_points_are_told_apart() -> None:
    """k3 stays closer to the base model than the tilt; dividing by the group's std moves further."""
    k3, tilt, grpo = forward_kl_rest(std=False), tilted(BETA), forward_kl_rest(std=True)
    assert k3 + 0.02 < tilt < grpo - 0.02
    assert reverse_kl_rest(std=False) == pytest.approx(tilted(BETA * GROUP / (GROUP - 1)), abs=1e-9)


def test_no_reward_signal_rests_at_the_base() -> None:
    reward = REWARD.clone()
    try:
        REWARD.fill_(1.0)
        torch.testing.assert_close(rest_of(GRPOConfig(**COMMON), 50), BASE, rtol=0, atol=1e-9)
    finally:
        REWARD.copy_(reward)


def _kept_shares(config: ExpertIterationConfig, policy: Tensor, num_questions: int) -> Tensor:
    """Shares of the actions among the kept completions of many questions."""
    rng = np.random.default_rng(3)
    counts = np.zeros(6)
    for _ in range(num_questions):
        actions = rng.choice(6, size=config.samples_per_prompt, p=(policy / policy.sum()).numpy())
        completions = [
            toy_completion(Verdict("f", Outcome.correct, None, float(REWARD[a])), text=str(a))
            for a in actions.tolist()
        ]
        for index in choose(completions, [item.verdict.reward for item in completions], config, rng):
            counts[actions[index]] += 1
    return torch.from_numpy(counts / counts.sum())


def test_expert_iteration_multiplies_share_by_accuracy_once() -> None:
    """Imitating what was kept is the base policy conditioned on being correct, and stays there."""
    config = ExpertIterationConfig(task="toy", samples_per_prompt=16, deduplicate=False)
    conditioned = BASE * REWARD / P0
    first = _kept_shares(config, BASE, 1500)
    torch.testing.assert_close(first, conditioned, rtol=0, atol=0.015)
    torch.testing.assert_close(_kept_shares(config, first, 1500), conditioned, rtol=0, atol=0.02)


def test_dropping_duplicates_flattens_expert_iteration() -> None:
    """Of k samples an answer of probability p is kept once with probability 1 - (1 - p)^k."""
    config = ExpertIterationConfig(task="toy", samples_per_prompt=16)
    found_once = (1 - (1 - BASE) ** 16) * REWARD
    torch.testing.assert_close(
        _kept_shares(config, BASE, 1500), found_once / found_once.sum(), rtol=0, atol=0.015
    )
