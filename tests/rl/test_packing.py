"""Packing: every completion once, within the budget, and only where it pays off."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from echochamber.rl.packing import Sample, pays_off, plan_microbatches


def _prompts(rng: np.random.Generator, count: int) -> list[list[int]]:
    return [rng.integers(0, 8, size=rng.integers(1, 6)).tolist() for _ in range(count)]


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
    assert pays_off(20, 20, 5000, 64)  # the first completion of a row is free to join
    assert pays_off(20, 20 + 7 * 15, 15, 64)
    assert not pays_off(20, 20 + 500, 500, 64)
    assert pays_off(150, 150 + 7 * 150, 150, 768)
