"""One update on a real (small) transformer in float64: what it computes and what must not matter."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rl_toy import ToyGrader, ToyTokenizer, toy_policy, toy_problems
from torch import Tensor

from echochamber.model import Transformer
from echochamber.rl import Context, DrGRPOConfig, GRPOConfig, PolicyGradientConfig, PPOConfig, RLOOConfig
from echochamber.rl import batches as packing
from echochamber.rl.batches import Sample, plan_microbatches
from echochamber.rl.policy import token_outputs
from echochamber.rl.policy_gradient import Batch, PolicyGradientLearner
from echochamber.rollout import NativeEngine, Sampling
from echochamber.train import OptimizerConfig

SETTINGS: dict[str, Any] = {
    "task": "toy",
    "steps": 4,
    "prompts_per_step": 6,
    "prompts_per_update": None,
    "samples_per_prompt": 4,
    "temperature": 0.8,
    "max_new_tokens": 6,
    "reward": "random",
    "optimizer": OptimizerConfig(learning_rate=1e-2, weight_decay=0.0),
}


def learner_of(
    config: PolicyGradientConfig, policy: Transformer, folder: Path = Path()
) -> PolicyGradientLearner:
    engine = NativeEngine(policy, eos_id=ToyTokenizer.eos_id, pad_id=ToyTokenizer.pad_id)
    context = Context(
        policy=policy, tokenizer=ToyTokenizer(), problems=toy_problems(), grader=ToyGrader(), engine=engine,  # type: ignore[arg-type]
        folder=folder, seed=1,
    )  # fmt: skip
    learner = config.learner(context)
    assert isinstance(learner, PolicyGradientLearner)
    return learner


def rolled_out(learner: PolicyGradientLearner) -> tuple[Batch, Tensor, Any]:
    rollouts = learner.rollout(0)
    batch = learner.prepare(rollouts, rollouts)
    plans = learner.plan(0, batch)
    learner.score(batch, [micro for plan in plans for micro in plan])
    return batch, learner.advantages(batch), plans


def disturbed(policy: Transformer, scale: float = 0.05) -> None:
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter += scale * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)


def gradients(policy: Transformer) -> Tensor:
    return torch.cat([p.grad.flatten() for p in policy.parameters() if p.grad is not None]).clone()


def full_gradient(learner: PolicyGradientLearner, batch: Batch, advantage_BT: Tensor, plan: Any) -> Tensor:
    learner.policy.zero_grad()
    for micro in plan:
        (learner.loss(batch, advantage_BT, micro).total / learner.normalizer(batch, plan)).backward()
    return gradients(learner.policy)


def test_first_on_policy_update_is_the_policy_gradient() -> None:
    """Ratio exactly 1; gradient = -mean over completions of (mean over tokens of advantage x grad log p)."""
    learner = learner_of(GRPOConfig(**SETTINGS, kl_coefficient=0.0), toy_policy(dtype=torch.float64))
    batch, advantage_BT, plans = rolled_out(learner)
    ours = full_gradient(learner, batch, advantage_BT, plans[0])
    stats = learner.update(0, 0, batch, advantage_BT, plans[0])
    assert stats.metrics["ratio_shift"] == stats.metrics["ratio_shift_squared"] == 0.0

    plain = toy_policy(dtype=torch.float64)
    total = torch.zeros((), dtype=torch.float64)
    for index, completion in enumerate(batch.rollouts.completions):
        prompt = batch.rollouts.prompts[index // 4]
        ids = torch.tensor([*prompt, *completion.sampled.token_ids.tolist()])
        logp = torch.log_softmax(plain(ids[None, :-1])[0, len(prompt) - 1 :] / 0.8, dim=1)
        chosen = logp.gather(1, ids[len(prompt) :, None])[:, 0]
        total = total - advantage_BT[index, 0] * chosen.mean() / 24
    total.backward()
    torch.testing.assert_close(ours, gradients(plain), rtol=1e-10, atol=1e-13)
    assert ours.abs().max() > 1e-3


@pytest.mark.parametrize("config", [GRPOConfig, RLOOConfig, PPOConfig])
def test_first_of_several_updates_has_ratio_exactly_1_in_float32(config: Any) -> None:
    learner = learner_of(config(**{**SETTINGS, "prompts_per_update": 2}), toy_policy())
    batch, advantage_BT, plans = rolled_out(learner)
    first = learner.update(0, 0, batch, advantage_BT, plans[0])
    assert first.metrics["ratio_shift_squared"] == 0.0
    second = learner.update(0, 1, batch, advantage_BT, plans[1])
    assert second.metrics["ratio_shift_squared"] > 0.0


@pytest.mark.parametrize(
    "config",
    [
        GRPOConfig(**SETTINGS, kl_coefficient=0.1, entropy_bonus=0.05),
        DrGRPOConfig(**SETTINGS, kl_coefficient=0.1, kl_estimator="k2"),
        PPOConfig(**SETTINGS, critic="shared", entropy_bonus=0.05),
    ],
    ids=["grpo", "dr_grpo", "ppo shared"],
)
def test_microbatches_packing_and_padding_change_nothing(
    config: PolicyGradientConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Float64: 1e-12, away from the reference and from the sampling policy, so that every term counts."""
    found = {}
    for name, tokens, extra_tokens in (
        ("whole, packed", 10_000, 99), ("split, packed", 20, 99), ("whole, alone", 10_000, 0),
        ("one by one", 1, 0), ("split, half packed", 30, 10),
    ):  # fmt: skip
        monkeypatch.setattr(packing, "pays_off", lambda p, row, extra, d, most=extra_tokens: row - p < most)
        learner = learner_of(
            config.model_copy(update={"microbatch_tokens": tokens}), toy_policy(dtype=torch.float64)
        )
        assert learner.reference is not None
        disturbed(learner.reference)
        batch, _, plans = rolled_out(learner)
        batch.old_logp_BT = batch.old_logp_BT + 0.1 * torch.sin(torch.arange(batch.mask_BT.numel())).view_as(
            batch.mask_BT
        )
        batch.scored = True
        advantage_BT = learner.advantages(batch)
        found[name] = (len(plans[0]), full_gradient(learner, batch, advantage_BT, plans[0]))
    assert found["whole, packed"][0] == 1 and found["one by one"][0] == 24 > found["split, packed"][0] > 1
    expected = found["whole, packed"][1]
    assert expected.abs().max() > 1e-3
    for name, (_, gradient) in found.items():
        torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-12, msg=name)


def test_kl_coefficients_give_different_updates() -> None:
    """The released code of the paper detached the KL: 0, 1e-3 and 1e-2 gave the same update."""
    found = []
    for coefficient in (0.0, 1e-3, 1e-2):
        learner = learner_of(
            GRPOConfig(**SETTINGS, kl_coefficient=coefficient), toy_policy(dtype=torch.float64)
        )
        assert learner.reference is not None
        disturbed(learner.reference)
        batch, advantage_BT, plans = rolled_out(learner)
        found.append(full_gradient(learner, batch, advantage_BT, plans[0]))
    kl_part = (found[1] - found[0]) / 1e-3
    torch.testing.assert_close((found[2] - found[0]) / 1e-2, kl_part, rtol=1e-6, atol=1e-9)
    assert kl_part.norm() > 1e-2


def test_gradient_of_the_whole_loss_matches_finite_differences() -> None:
    config = GRPOConfig(**SETTINGS, kl_coefficient=0.3, entropy_bonus=0.2, top_p=0.9)
    learner = learner_of(config, toy_policy(dtype=torch.float64))
    assert learner.reference is not None
    disturbed(learner.reference)
    batch, advantage_BT, plans = rolled_out(learner)
    batch.old_logp_BT = torch.zeros_like(batch.old_logp_BT)
    for micro in plans[0]:
        learner.score_policy(batch, micro, token_outputs(learner.policy, micro, temperature=0.8))
    batch.scored = True
    disturbed(learner.policy, 0.01)
    gradient = full_gradient(learner, batch, advantage_BT, plans[0])

    def value() -> float:
        with torch.no_grad():
            return sum(
                float(learner.loss(batch, advantage_BT, micro).total) for micro in plans[0]
            ) / learner.normalizer(batch, plans[0])

    weight = learner.policy.head_weight
    flat, offset = weight.data.view(-1), 0
    for parameter in learner.policy.parameters():
        if parameter is weight:
            break
        offset += parameter.numel()
    for index in (3, 40, 77, 150):
        kept = float(flat[index])
        flat[index] = kept + 1e-6
        above = value()
        flat[index] = kept - 1e-6
        below = value()
        flat[index] = kept
        assert float(gradient[offset + index]) == pytest.approx((above - below) / 2e-6, rel=1e-5, abs=1e-9)


def _prompts(rng: np.random.Generator, count: int) -> list[list[int]]:
    return [rng.integers(0, 8, size=rng.integers(1, 6)).tolist() for _ in range(count)]


@pytest.mark.parametrize("sharpness", [1.0, 8.0])
@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(max_new_tokens=8),
        Sampling(max_new_tokens=8, temperature=0.7),
        Sampling(max_new_tokens=8, top_p=0.8),
        Sampling(max_new_tokens=8, top_k=3),
        Sampling(max_new_tokens=8, temperature=1.3, top_p=0.9, top_k=5),
    ],
    ids=["plain", "cool", "top-p", "top-k", "all"],
)
def test_trainer_and_engine_agree_on_log_probs(sampling: Sampling, sharpness: float) -> None:
    """Within 2e-6 x (1 + largest |logit / T|), float32: rounding of a logit grows with its size.

    With top-p or top-k both sides renormalise over the recorded nucleus.
    """
    policy = toy_policy()
    with torch.no_grad():
        policy.head_weight.mul_(sharpness)
    engine = NativeEngine(policy, eos_id=8, pad_id=9)
    prompts = _prompts(np.random.default_rng(2), 16)
    groups = engine.generate(prompts, sampling, num_samples=8, seed=5, step=0)
    completions = [completion for group in groups for completion in group]
    samples = [
        Sample(
            prompt=index // 8,
            token_ids=item.token_ids.astype(np.int64),
            kept=None if item.nucleus is None else (item.nucleus.offsets, item.nucleus.ids),
        )
        for index, item in enumerate(completions)
    ]
    assert all((item.nucleus is None) == (not sampling.truncated) for item in completions)
    plan = plan_microbatches(
        prompts, samples, range(len(samples)), budget_tokens=200, device=torch.device("cpu"), width=16
    )
    worst, largest = 0.0, 0.0
    with torch.no_grad():
        for micro in plan:
            outputs = token_outputs(policy, micro, temperature=sampling.temperature)
            logits = policy.head(outputs.hidden_ND) / sampling.temperature
            largest = max(largest, float(logits.abs().max()))
            engine_N = torch.from_numpy(
                np.concatenate([completions[i].logprobs for i in micro.sample_b.tolist()])
            )
            worst = max(worst, float((outputs.logp_N - engine_N).abs().max()))
    assert worst < 2e-6 * (1 + largest)


def _sequences(plan: Sequence[Any]) -> list[int]:
    return sorted(int(i) for micro in plan for i in micro.sample_b)


def test_plans_cover_every_completion_once_within_the_budget() -> None:
    rng = np.random.default_rng(4)
    prompts = _prompts(rng, 9)
    samples = [Sample(i // 5, rng.integers(0, 8, size=rng.integers(1, 12))) for i in range(45)]
    for width in (0, 16, 1000):
        plan = plan_microbatches(
            prompts, samples, range(45), budget_tokens=60, device=torch.device("cpu"), width=width
        )
        assert _sequences(plan) == list(range(45))
        assert all(micro.token_RS.numel() <= 60 for micro in plan)
        tokens = sum(int(micro.mask_bT.sum()) for micro in plan)
        assert tokens == sum(len(sample.token_ids) for sample in samples)


def test_packing_pays_off_for_long_prompts_and_short_completions() -> None:
    assert packing.pays_off(20, 20, 5000, 64)  # the first completion of a row is free to join
    assert packing.pays_off(20, 20 + 7 * 15, 15, 64)
    assert not packing.pays_off(20, 20 + 500, 500, 64)
    assert packing.pays_off(150, 150 + 7 * 150, 150, 768)


@pytest.mark.parametrize("where", ["host", "bfloat16"])
def test_a_reference_kept_elsewhere_says_the_same(where: Any) -> None:
    """From the host the same bits; in bfloat16 within the rounding of its logits."""
    settings = {**SETTINGS, "kl_coefficient": 0.1}
    found = {}
    for kept in ("device", where):
        batch, _, _ = rolled_out(learner_of(GRPOConfig(**settings, keep_reference=kept), toy_policy()))
        assert batch.ref_logp_BT is not None
        found[kept] = batch.ref_logp_BT
    if where == "host":
        assert torch.equal(found["host"], found["device"])
    else:
        assert 0 < (found["bfloat16"] - found["device"]).abs().max() < 0.1
