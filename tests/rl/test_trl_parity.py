"""Loss and gradient equal to those of TRL 1.16's trainers on the same tensors, in float64.

TRL's own `_compute_loss` runs on a stand-in for its trainer that holds the settings it reads. Compared
from advantages on: TRL divides by (std + 1e-4), the paper's code by (std + 1e-9).
"""

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from echochamber.rl import objectives as obj

NUM_COMPLETIONS, NUM_TOKENS, MAX_NEW_TOKENS = 6, 7, 9


@pytest.fixture(scope="module")
def trl() -> Any:
    return pytest.importorskip("trl.trainer.grpo_trainer"), pytest.importorskip("trl.trainer.rloo_trainer")


def _tensors() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(17)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    logp = -draw(NUM_COMPLETIONS, NUM_TOKENS).abs() - 0.05
    lengths = torch.tensor([7, 3, 1, 5, 7, 2])
    return {
        "logp": logp,
        "old": logp + 0.25 * draw(NUM_COMPLETIONS, NUM_TOKENS),
        "ref": logp + 0.4 * draw(NUM_COMPLETIONS, NUM_TOKENS),
        "rollout": logp + 0.3 * draw(NUM_COMPLETIONS, NUM_TOKENS),
        "entropy": draw(NUM_COMPLETIONS, NUM_TOKENS).abs(),
        "advantage": draw(NUM_COMPLETIONS),
        "mask": torch.arange(NUM_TOKENS) < lengths[:, None],
    }


class _Accelerator:
    num_processes = 1
    sync_gradients = True

    def gather(self, value: Tensor) -> Tensor:
        return value

    def reduce(self, value: Tensor, reduction: str) -> Tensor:
        return value


def _peer(tensors: dict[str, Tensor], **settings: Any) -> tuple[Any, Any, dict[str, Tensor]]:
    mask = tensors["mask"]
    trainer = SimpleNamespace(
        aux_loss_enabled=False, top_entropy_quantile=1.0, off_policy_mask_threshold=None,
        importance_sampling_level="token", beta=0.0, loss_type="grpo", epsilon_low=0.2, epsilon_high=0.2,
        use_vllm=False, vllm_importance_sampling_correction=False, current_gradient_accumulation_steps=1,
        max_completion_length=MAX_NEW_TOKENS, accelerator=_Accelerator(), _entropy_bonus_enabled=False,
        use_adaptive_entropy=False, entropy_coef=0.0,
        _metrics={"train": defaultdict(list)}, model=SimpleNamespace(training=True),
        args=SimpleNamespace(use_bias_correction_kl=False, delta=None, steps_per_generation=1),
    )  # fmt: skip
    for name, value in settings.items():
        setattr(trainer, name, value)
    leaf = tensors["logp"].clone().requires_grad_(True)
    trainer._get_per_token_logps_and_entropies = lambda *a, **k: (leaf, tensors["entropy"], None)
    ids = torch.zeros(mask.shape, dtype=torch.long)
    inputs = {
        "prompt_ids": ids[:, :1], "prompt_mask": torch.ones_like(ids[:, :1]),
        "completion_ids": ids, "completion_mask": mask.long(),
        "advantages": tensors["advantage"], "old_per_token_logps": tensors["old"],
        "ref_per_token_logps": tensors["ref"], "num_items_in_batch": mask.sum(),
        "importance_sampling_ratio": torch.exp(tensors["old"] - tensors["rollout"]).clamp(max=2.0),
        "old_logps": (tensors["old"] * mask).sum(1),
    }  # fmt: skip
    return trainer, leaf, inputs


def _ours(
    tensors: dict[str, Tensor],
    aggregation: obj.Aggregation,
    *,
    ratio: obj.RatioLevel = "token",
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    importance_cap: float | None = None,
    **settings: Any,
) -> tuple[Tensor, Tensor]:
    leaf, mask, old = tensors["logp"].clone().requires_grad_(True), tensors["mask"], tensors["old"]
    surrogate = obj.clipped_surrogate(
        obj.log_ratio(leaf, old, mask, ratio), tensors["advantage"][:, None].expand_as(leaf), mask,
        clip_low=clip_low, clip_high=clip_high,
    )  # fmt: skip
    importance = None
    if importance_cap is not None:
        importance = obj.truncated_importance_weight(old, tensors["rollout"], mask, importance_cap)
    loss = obj.policy_objective(
        surrogate, leaf, mask, aggregation=aggregation, importance_BT=importance,
        ref_logp_BT=tensors["ref"], entropy_BT=tensors["entropy"], **settings,
    )  # fmt: skip
    total = loss.total / obj.normalizer_of(NUM_COMPLETIONS, int(mask.sum()), MAX_NEW_TOKENS, aggregation)
    total.backward()
    assert leaf.grad is not None
    return total.detach(), leaf.grad


CASES: dict[str, tuple[dict[str, Any], obj.Aggregation, dict[str, Any]]] = {
    "grpo": ({}, "sequence_mean", {}),
    "grpo with KL": ({"beta": 0.04}, "sequence_mean", {"kl_coefficient": 0.04}),
    "dr_grpo": ({"loss_type": "dr_grpo", "beta": 0.01}, "constant", {"kl_coefficient": 0.01}),
    "dapo": ({"loss_type": "dapo", "epsilon_high": 0.28}, "token_mean", {"clip_high": 0.28}),
    "gspo": (
        {"importance_sampling_level": "sequence", "epsilon_low": 3e-4, "epsilon_high": 4e-4},
        "sequence_mean",
        {"ratio": "sequence_mean", "clip_low": 3e-4, "clip_high": 4e-4},
    ),
    "gspo, wide clips": (
        {"importance_sampling_level": "sequence"}, "sequence_mean", {"ratio": "sequence_mean"}
    ),
    "truncated importance sampling": (
        {"use_vllm": True, "vllm_importance_sampling_correction": True, "beta": 0.04},
        "sequence_mean",
        {"importance_cap": 2.0, "kl_coefficient": 0.04},
    ),
    "entropy bonus, token mean": (
        {"loss_type": "dapo", "_entropy_bonus_enabled": True, "entropy_coef": 0.03},
        "token_mean",
        {"entropy_bonus": 0.03},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_grpo_family_equals_trl(trl: Any, case: str) -> None:
    settings, aggregation, ours = CASES[case]
    tensors = _tensors()
    trainer, leaf, inputs = _peer(tensors, **settings)
    expected = trl[0].GRPOTrainer._compute_loss(trainer, SimpleNamespace(training=True), inputs)
    expected.backward()
    loss, gradient = _ours(tensors, aggregation, **ours)
    # TRL's metrics aside, its loss is float64 here; relative error far below 1e-5.
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-12, atol=0)
    torch.testing.assert_close(gradient, leaf.grad, rtol=1e-12, atol=1e-15)
    assert leaf.grad.abs().max() > 1e-4


def test_rloo_equals_trl(trl: Any) -> None:
    """TRL's RLOO clips the ratio of whole-completion probabilities: our `sequence_sum`.

    Its loss is one term per completion; ours is the same term at each token, averaged over the completion.
    """
    tensors = _tensors()
    trainer, leaf, inputs = _peer(tensors)
    expected = trl[1].RLOOTrainer._compute_loss(trainer, SimpleNamespace(training=True), inputs)
    expected.backward()
    loss, gradient = _ours(tensors, "sequence_mean", ratio="sequence_sum")
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-12, atol=0)
    torch.testing.assert_close(gradient, leaf.grad, rtol=1e-12, atol=1e-15)


def test_the_comparison_can_fail(trl: Any) -> None:
    tensors = _tensors()
    trainer, _, inputs = _peer(tensors, beta=0.04)
    expected = trl[0].GRPOTrainer._compute_loss(trainer, SimpleNamespace(training=True), inputs)
    for wrong in ({"kl_coefficient": 0.05}, {"kl_coefficient": 0.04, "clip_low": 0.1}):
        loss, _ = _ours(tensors, "sequence_mean", **wrong)
        assert abs(loss.item() / expected.item() - 1) > 1e-5
