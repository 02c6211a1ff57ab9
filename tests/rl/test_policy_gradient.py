"""One update on a real (small) transformer in float64: what it computes and what must not matter."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from rl_arms import arm, read
from rl_toy import ToyGrader, ToyTokenizer, toy_policy, toy_problems, train_toy
from torch import Tensor

from echochamber.model import Transformer
from echochamber.rl import (
    Context,
    DrGRPOConfig,
    GRPOConfig,
    PolicyGradientConfig,
    PolicyGradientLearner,
    PPOConfig,
    RLOOConfig,
    RolloutBatch,
    group_advantages,
    packing,
)
from echochamber.rl.microbatches import Microbatch, token_outputs
from echochamber.rollout import NativeEngine
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


def rolled_out(learner: PolicyGradientLearner) -> tuple[RolloutBatch, list[list[Microbatch]]]:
    rollouts = learner.rollout(0)
    batch = learner.prepare(rollouts, rollouts)
    plans = learner.plan(0, batch)
    learner.score(batch, [micro for plan in plans for micro in plan])
    batch.advantage_BT = learner.advantages(batch)
    return batch, plans


def disturbed(policy: Transformer, scale: float = 0.05) -> None:
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter += scale * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)


def gradients(policy: Transformer) -> Tensor:
    return torch.cat([p.grad.flatten() for p in policy.parameters() if p.grad is not None]).clone()


def full_gradient(learner: PolicyGradientLearner, batch: RolloutBatch, plan: Sequence[Microbatch]) -> Tensor:
    learner.policy.zero_grad()
    for micro in plan:
        outputs = learner.outputs(learner.policy, micro)
        if not batch.scored:
            batch.record(micro, outputs)
        (learner.loss(batch, micro, outputs).total / learner.normalizer(batch, plan)).backward()
    return gradients(learner.policy)


def test_first_on_policy_update_is_the_policy_gradient() -> None:
    """Ratio exactly 1; gradient = -mean over completions of (mean over tokens of advantage x grad log p)."""
    learner = learner_of(GRPOConfig(**SETTINGS, kl_coefficient=0.0), toy_policy(dtype=torch.float64))
    batch, plans = rolled_out(learner)
    ours = full_gradient(learner, batch, plans[0])
    stats = learner.update(0, batch, plans[0])
    assert stats.metrics["ratio_shift"] == stats.metrics["ratio_shift_squared"] == 0.0

    plain = toy_policy(dtype=torch.float64)
    advantage_PG = group_advantages(batch.reward_PG)
    total = torch.zeros((), dtype=torch.float64)
    for index, completion in enumerate(batch.rollouts.completions):
        prompt = batch.rollouts.prompts[index // 4]
        ids = torch.tensor([*prompt, *completion.sampled.token_ids.tolist()])
        logp = torch.log_softmax(plain(ids[None, :-1])[0, len(prompt) - 1 :] / 0.8, dim=1)
        chosen = logp.gather(1, ids[len(prompt) :, None])[:, 0]
        total = total - advantage_PG[index // 4, index % 4] * chosen.mean() / 24
    total.backward()
    torch.testing.assert_close(ours, gradients(plain), rtol=1e-10, atol=1e-13)
    assert ours.abs().max() > 1e-3


@pytest.mark.parametrize("config", [GRPOConfig, RLOOConfig, PPOConfig])
def test_first_of_several_updates_has_ratio_exactly_1_in_float32(config: Any) -> None:
    learner = learner_of(config(**{**SETTINGS, "prompts_per_update": 2}), toy_policy())
    batch, plans = rolled_out(learner)
    first = learner.update(0, batch, plans[0])
    assert first.metrics["ratio_shift_squared"] == 0.0
    second = learner.update(1, batch, plans[1])
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
        disturbed(learner.reference.policy)
        batch, plans = rolled_out(learner)
        batch.old_logp_BT = batch.old_logp_BT + 0.1 * torch.sin(torch.arange(batch.mask_BT.numel())).view_as(
            batch.mask_BT
        )
        batch.scored = True
        batch.advantage_BT = learner.advantages(batch)
        found[name] = (len(plans[0]), full_gradient(learner, batch, plans[0]))
    assert found["whole, packed"][0] == 1 and found["one by one"][0] == 24 > found["split, packed"][0] > 1
    expected = found["whole, packed"][1]
    assert expected.abs().max() > 1e-3
    for name, (_, gradient) in found.items():
        torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-12, msg=name)


def test_a_loss_reads_the_batch_and_changes_nothing() -> None:
    for config in (GRPOConfig(**SETTINGS), PPOConfig(**SETTINGS, critic="shared", entropy_bonus=0.05)):
        learner = learner_of(config, toy_policy())
        batch, plans = rolled_out(learner)
        before = {name: value.clone() for name, value in vars(batch).items() if isinstance(value, Tensor)}
        outputs = learner.outputs(learner.policy, plans[0][0])
        first, second = (learner.loss(batch, plans[0][0], outputs) for _ in range(2))
        assert first.total.equal(second.total)
        assert all(getattr(batch, name).equal(value) for name, value in before.items())


@pytest.mark.parametrize(("prompts_per_update", "passes"), [(None, 1), (3, 2)])
def test_a_single_update_is_its_own_scoring(
    prompts_per_update: int | None, passes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One forward pass per microbatch where the rollout has one update, and the same log-probabilities."""
    settings = {**SETTINGS, "prompts_per_update": prompts_per_update, "reference": "none"}
    config = GRPOConfig(**settings, measure_kl=False, kl_coefficient=0.0, microbatch_tokens=60)
    learner = learner_of(config, toy_policy())
    batch, plans = rolled_out(learner)
    assert batch.scored == (passes == 2)
    scores = toy_policy()
    seen: list[Any] = []
    outputs = learner.outputs
    monkeypatch.setattr(learner, "outputs", lambda model, micro: seen.append(micro) or outputs(model, micro))
    learner.score(batch, [micro for plan in plans for micro in plan])
    learner.update_all(0, batch, plans)
    assert len(seen) == passes * sum(len(plan) for plan in plans)
    assert batch.scored
    expected = torch.zeros_like(batch.old_logp_BT)
    for plan in plans:
        for micro in plan:
            batch.put(expected, micro, outputs(scores, micro).logp_N)
    assert batch.old_logp_BT.equal(expected)


def test_kl_coefficients_give_different_updates() -> None:
    """The released code of the paper detached the KL: 0, 1e-3 and 1e-2 gave the same update."""
    found = []
    for coefficient in (0.0, 1e-3, 1e-2):
        learner = learner_of(
            GRPOConfig(**SETTINGS, kl_coefficient=coefficient), toy_policy(dtype=torch.float64)
        )
        assert learner.reference is not None
        disturbed(learner.reference.policy)
        batch, plans = rolled_out(learner)
        found.append(full_gradient(learner, batch, plans[0]))
    kl_part = (found[1] - found[0]) / 1e-3
    torch.testing.assert_close((found[2] - found[0]) / 1e-2, kl_part, rtol=1e-6, atol=1e-9)
    assert kl_part.norm() > 1e-2


def test_gradient_of_the_whole_loss_matches_finite_differences() -> None:
    config = GRPOConfig(**SETTINGS, kl_coefficient=0.3, entropy_bonus=0.2, top_p=0.9)
    learner = learner_of(config, toy_policy(dtype=torch.float64))
    assert learner.reference is not None
    disturbed(learner.reference.policy)
    batch, plans = rolled_out(learner)
    batch.old_logp_BT = torch.zeros_like(batch.old_logp_BT)
    for micro in plans[0]:
        batch.record(micro, token_outputs(learner.policy, micro, temperature=0.8))
    batch.scored = True
    disturbed(learner.policy, 0.01)
    gradient = full_gradient(learner, batch, plans[0])

    def value() -> float:
        with torch.no_grad():
            return sum(
                float(learner.loss(batch, micro, learner.outputs(learner.policy, micro)).total)
                for micro in plans[0]
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


@pytest.mark.parametrize("where", ["host", "bfloat16"])
def test_a_reference_kept_elsewhere_says_the_same(where: Any) -> None:
    """From the host the same bits; in bfloat16 within the rounding of its logits."""
    settings = {**SETTINGS, "kl_coefficient": 0.1}
    found = {}
    for kept in ("device", where):
        batch, _ = rolled_out(learner_of(GRPOConfig(**settings, keep_reference=kept), toy_policy()))
        assert batch.ref_logp_BT is not None
        found[kept] = batch.ref_logp_BT
    if where == "host":
        assert torch.equal(found["host"], found["device"])
    else:
        assert 0 < (found["bfloat16"] - found["device"]).abs().max() < 0.1


def test_adaptive_kl_moves_the_coefficient(tmp_path: Path) -> None:
    train_toy(arm("grpo, KL in the reward, steered", tmp_path), tmp_path)
    coefficients = [row["kl_coefficient"] for row in read(tmp_path)]
    # KL starts at 0, below its target: the coefficient falls by the bounded step 0.2 x 24 / 100.
    assert coefficients[0] == 0.1
    assert coefficients[1] == pytest.approx(0.1 * (1 - 0.2 * 24 / 100), rel=1e-12)


def test_advantages_of_another_shape_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = learner_of(GRPOConfig(**SETTINGS), toy_policy())
    monkeypatch.setattr(learner, "advantages", lambda batch: batch.reward_PG)
    with pytest.raises(AssertionError, match="expected a value per token"):
        learner.step(0)
