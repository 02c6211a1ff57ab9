"""What every engine must do, as checks that take an engine; shared by the engines' test files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from echochamber.model import ModelConfig, Transformer, build
from echochamber.rollout import Engine, Nucleus, SampledTokens, Sampling

EOS, PAD = 2, 3
TOKENIZER: Any = SimpleNamespace(eos_id=EOS, pad_id=PAD)
CONFIG = ModelConfig(
    d_model=64, num_layers=4, num_heads=2, mlp_hidden=256, vocab_size=128, context_length=64, init_std=0.12
)
PROMPTS = [[5, 9, 17], [20, 21, 22, 23, 24, 25, 26], [30], [5, 9, 17, 40]]

MakeEngine = Callable[[Transformer], Engine]


def sharp_model(seed: int = 1) -> Transformer:
    """A random model whose distributions are far from uniform, and which ends by itself sometimes."""
    model = build(CONFIG, seed=seed)
    with torch.no_grad():
        model.unembedding *= 2.0
        model.unembedding[EOS] *= 1.5
    return model


def logits_after(model: Transformer, prompt: Sequence[int], completion: SampledTokens) -> torch.Tensor:
    """Plain forward pass: the logits each completion token was drawn from, (T, V)."""
    tokens = torch.tensor([[*prompt, *completion.token_ids.tolist()]])
    with torch.no_grad():
        return model(tokens)[0, len(prompt) - 1 : -1]


def check_greedy(make: MakeEngine) -> None:
    """Greedy ids are the argmax of a plain forward pass, near-ties apart; log-probs at temperature 1."""
    model = sharp_model()
    sampling = Sampling(temperature=0, max_new_tokens=30)
    results = make(model).generate(PROMPTS, sampling, num_samples=1, seed=0, step=0)
    for prompt, (completion,) in zip(PROMPTS, results, strict=True):
        logits = logits_after(model, prompt, completion)
        tokens = torch.from_numpy(completion.token_ids.astype(np.int64))
        chosen = logits.gather(1, tokens[:, None])[:, 0]
        assert (logits.max(-1).values - chosen).max() < 1e-4
        expected = logits.log_softmax(-1).gather(1, tokens[:, None])[:, 0].numpy()
        assert np.abs(expected - completion.logprobs).max() < 1e-4
        assert completion.nucleus is None


def check_logprobs(make: MakeEngine, sampling: Sampling) -> None:
    """Log-probs equal a trainer's own computation under the same distribution."""
    model = sharp_model()
    results = make(model).generate(PROMPTS, sampling, num_samples=5, seed=3, step=4)
    for prompt, group in zip(PROMPTS, results, strict=True):
        for completion in group:
            logits = logits_after(model, prompt, completion)
            tokens = torch.from_numpy(completion.token_ids.astype(np.int64))
            if completion.nucleus is None:
                assert sampling.top_p == 1 and sampling.top_k == 0
                logp = (logits / sampling.temperature).log_softmax(-1).gather(1, tokens[:, None])[:, 0]
            else:
                check_nucleus(logits, completion, sampling)
                logp = renormalized(logits / sampling.temperature, tokens, completion.nucleus)
            assert np.abs(logp.numpy() - completion.logprobs).max() < 1e-4


def renormalized(z_TV: torch.Tensor, tokens_T: torch.Tensor, nucleus: Nucleus) -> torch.Tensor:
    """Log-probs of the tokens under a softmax over the recorded sets alone."""
    bounds = zip(nucleus.offsets[:-1], nucleus.offsets[1:], strict=True)
    total_T = torch.stack(
        [z_TV[t, nucleus.ids[a:b].astype(np.int64)].logsumexp(0) for t, (a, b) in enumerate(bounds)]
    )
    return z_TV.gather(1, tokens_T[:, None])[:, 0] - total_T


def check_nucleus(logits_TV: torch.Tensor, completion: SampledTokens, sampling: Sampling) -> None:
    """The recorded sets are the top-k / top-p sets of a plain forward pass, borderline tokens apart."""
    nucleus = completion.nucleus
    assert nucleus is not None
    assert len(nucleus.offsets) == len(completion.token_ids) + 1
    p_TV = (logits_TV / sampling.temperature).softmax(-1)
    for t, token in enumerate(completion.token_ids):
        found = nucleus.ids[nucleus.offsets[t] : nucleus.offsets[t + 1]]
        assert token in found
        p = p_TV[t].numpy().astype(np.float64)
        ranked = np.argsort(-p, kind="stable")
        if sampling.top_k:
            ranked = ranked[: sampling.top_k]
        share = np.cumsum(p[ranked]) / (p[ranked].sum() if sampling.top_k else 1.0)
        size = int(np.searchsorted(share, sampling.top_p - 1e-9)) + 1
        expected = set(ranked[:size].tolist())
        borderline = {int(i) for i in expected ^ set(found.tolist())}
        edge = p[ranked[min(size, len(ranked)) - 1]]
        near_share = abs(share[min(size, len(share)) - 1] - sampling.top_p) < 1e-4 or (
            size > 1 and abs(share[size - 2] - sampling.top_p) < 1e-4
        )
        assert all(abs(p[i] - edge) < 1e-4 or near_share for i in borderline)


def check_ends(make: MakeEngine) -> None:
    """Eos ends a completion and is part of it; otherwise the limit does, or the context."""
    model = sharp_model()
    results = make(model).generate(
        [*PROMPTS, [7] * 60], Sampling(max_new_tokens=25), num_samples=16, seed=0, step=0
    )
    reasons = set()
    for prompt, group in zip([*PROMPTS, [7] * 60], results, strict=True):
        limit = min(25, CONFIG.context_length - len(prompt))
        for completion in group:
            ids = completion.token_ids
            assert ids.dtype == np.int32
            assert completion.logprobs.dtype == np.float32
            assert len(ids) == len(completion.logprobs)
            assert EOS not in ids[:-1]
            assert (completion.finish_reason == "stop") == (ids[-1] == EOS)
            assert len(ids) == limit if completion.finish_reason == "length" else len(ids) <= limit
            reasons.add(completion.finish_reason)
    assert reasons == {"stop", "length"}


def check_versions(make: MakeEngine) -> None:
    """New weights are used from the next call on, and only once they are loaded."""
    first, second = sharp_model(1), sharp_model(2)
    engine = make(first)
    sampling = Sampling(max_new_tokens=10)

    def sample() -> list[list[SampledTokens]]:
        return engine.generate(PROMPTS, sampling, num_samples=2, seed=0, step=0)

    before = sample()
    with torch.no_grad():
        first.unembedding += 1.0
    assert same(before, sample())
    engine.load_weights(second, 7)
    after = sample()
    assert {c.policy_version for group in after for c in group} == {7}
    assert not same(before, after)
    assert same(after, make(second).generate(PROMPTS, sampling, num_samples=2, seed=0, step=0))


def same(left: list[list[SampledTokens]], right: list[list[SampledTokens]]) -> bool:
    """Equal tokens throughout."""
    pairs = [(a, b) for g, h in zip(left, right, strict=True) for a, b in zip(g, h, strict=True)]
    return all(np.array_equal(a.token_ids, b.token_ids) for a, b in pairs)


def check_streams(make: MakeEngine) -> None:
    """Tokens depend on seed, step, prompt id and sample, not on what else is in the batch."""
    engine = make(sharp_model())
    sampling = Sampling(max_new_tokens=12)
    whole = engine.generate(PROMPTS, sampling, num_samples=6, seed=1, step=2, prompt_ids=[10, 11, 12, 13])
    alone = engine.generate(PROMPTS[2:3], sampling, num_samples=6, seed=1, step=2, prompt_ids=[12])
    fewer = engine.generate(PROMPTS, sampling, num_samples=2, seed=1, step=2, prompt_ids=[10, 11, 12, 13])
    assert same(whole[2:3], alone)
    assert same([group[:2] for group in whole], fewer)
    assert not same(whole[2:3], [whole[2][::-1]])
    for seed, step, names in ((2, 2, [12]), (1, 3, [12]), (1, 2, [13])):
        other = engine.generate(PROMPTS[2:3], sampling, num_samples=6, seed=seed, step=step, prompt_ids=names)
        assert not same(alone, other)


SETTINGS = [
    Sampling(max_new_tokens=20),
    Sampling(temperature=0.7, max_new_tokens=20),
    Sampling(temperature=1.3, top_p=0.9, max_new_tokens=20),
    Sampling(top_k=5, max_new_tokens=20),
    Sampling(temperature=0.7, top_k=20, top_p=0.8, max_new_tokens=20),
    Sampling(top_p=1e-6, max_new_tokens=20),
    Sampling(top_k=500, max_new_tokens=20),
]
