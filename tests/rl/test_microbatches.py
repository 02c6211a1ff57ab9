"""The trainer's log-probabilities against the engine's."""

import numpy as np
import pytest
import torch
from rl_toy import toy_policy

from echochamber.rl.microbatches import token_outputs
from echochamber.rl.packing import Sample, plan_microbatches
from echochamber.rollout import NativeEngine, Sampling


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

    With top-p or top-k both sides renormalize over the recorded nucleus.
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
            nucleus=item.nucleus,
        )
        for index, item in enumerate(completions)
    ]
    assert all((item.nucleus is None) == (not sampling.has_nucleus) for item in completions)
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
