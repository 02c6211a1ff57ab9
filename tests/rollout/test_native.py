"""The native engine: the contract, and what only it promises."""

import contract
import numpy as np
import pytest
import torch
from contract import CONFIG, EOS, PAD, PROMPTS, SETTINGS, same, sharp_model

from echochamber.model import Transformer, build
from echochamber.rollout import NativeEngine, Sampling
from echochamber.rollout.native import _rows_to_keep

SPLIT = [Sampling(max_new_tokens=30), Sampling(max_new_tokens=30, top_p=0.9)]


def make(model: Transformer) -> NativeEngine:
    return NativeEngine(model, eos_id=EOS, pad_id=PAD)


def test_greedy() -> None:
    contract.check_greedy(make)


@pytest.mark.parametrize("sampling", SETTINGS, ids=str)
def test_logprobs(sampling: Sampling) -> None:
    contract.check_logprobs(make, sampling)


def test_ends() -> None:
    contract.check_ends(make)


def test_versions() -> None:
    contract.check_versions(make)


def test_streams() -> None:
    contract.check_streams(make)


@pytest.mark.parametrize("sampling", SPLIT, ids=str)
def test_how_the_work_is_split_does_not_matter(sampling: Sampling) -> None:
    """Double precision, so that no rounding hides behind a near-tie."""
    model = sharp_model().double()
    whole = NativeEngine(model, eos_id=EOS, pad_id=PAD, compact_fraction=2.0)
    expected = whole.generate(PROMPTS, sampling, num_samples=7, seed=5, step=6)
    for max_rows, fraction in ((1, 0.05), (3, 0.0), (7, 0.3), (10, 0.0), (None, 0.0), (None, 0.5)):
        split = NativeEngine(model, eos_id=EOS, pad_id=PAD, max_rows=max_rows, compact_fraction=fraction)
        found = split.generate(PROMPTS, sampling, num_samples=7, seed=5, step=6)
        assert same(expected, found)
        for group, other in zip(expected, found, strict=True):
            for a, b in zip(group, other, strict=True):
                assert np.abs(a.logprobs - b.logprobs).max() < 1e-6
                if a.nucleus is not None and b.nucleus is not None:
                    assert np.array_equal(a.nucleus.ids, b.nucleus.ids)
                    assert np.array_equal(a.nucleus.offsets, b.nucleus.offsets)


def test_samples_follow_the_models_distribution() -> None:
    model = sharp_model()
    samples = make(model).generate(
        [PROMPTS[0]], Sampling(max_new_tokens=1, temperature=0.8), num_samples=40_000, seed=0, step=0
    )[0]
    counts = np.bincount([int(c.token_ids[0]) for c in samples], minlength=CONFIG.vocab_size)
    with torch.no_grad():
        p = (model(torch.tensor([PROMPTS[0]]))[0, -1] / 0.8).softmax(-1).double().numpy()
    likely = p > 1e-3
    z = (counts[likely] - 40_000 * p[likely]) / np.sqrt(40_000 * p[likely] * (1 - p[likely]))
    assert np.abs(z).max() < 4.5


def test_generating_leaves_global_randomness_alone() -> None:
    before = torch.random.get_rng_state()
    make(sharp_model()).generate(PROMPTS, Sampling(max_new_tokens=3), num_samples=2, seed=0, step=0)
    assert torch.equal(before, torch.random.get_rng_state())


def test_half_precision_weights_are_sampled_from_with_full_precision_angles() -> None:
    check_half(make(sharp_model().to(torch.bfloat16)))


@pytest.mark.parametrize("fixed_shapes", [False, True])
def test_a_copy_in_half_precision_follows_float32_weights(fixed_shapes: bool) -> None:
    """The default on a GPU; it also holds after an update in place."""
    engine = NativeEngine(sharp_model(2), eos_id=EOS, pad_id=PAD, dtype=torch.bfloat16, static=fixed_shapes)
    engine.generate(PROMPTS, Sampling(max_new_tokens=8), num_samples=2, seed=0, step=0)
    engine.load_weights(sharp_model(), 1)
    check_half(engine)


def check_half(engine: NativeEngine) -> None:
    """Log-probs near those of the first model's weights, rounded to bfloat16 and computed in float32."""
    results = engine.generate(PROMPTS, Sampling(max_new_tokens=8), num_samples=2, seed=0, step=0)
    reference = sharp_model().to(torch.bfloat16).float()
    for prompt, group in zip(PROMPTS, results, strict=True):
        for completion in group:
            logits = contract.logits_after(reference, prompt, completion)
            tokens = torch.from_numpy(completion.token_ids.astype(np.int64))
            expected = logits.log_softmax(-1).gather(1, tokens[:, None])[:, 0].numpy()
            # bfloat16 keeps 8 bits: logits of size 8 are off by about 0.03.
            assert np.abs(expected - completion.logprobs).max() < 0.3


def test_one_long_completion_outlives_many_growths_of_the_cache() -> None:
    config = CONFIG.model_copy(update={"context_length": 300})
    model = build(config, seed=4)
    with torch.no_grad():
        model.unembedding[EOS] = 0
    sampling = Sampling(temperature=0, max_new_tokens=250)
    (completion,) = make(model).generate([[5, 6]], sampling, num_samples=1, seed=0, step=0)[0]
    assert len(completion.token_ids) == 250
    logits = contract.logits_after(model, [5, 6], completion)
    tokens = torch.from_numpy(completion.token_ids.astype(np.int64))
    chosen = logits.gather(1, tokens[:, None])[:, 0]
    assert (logits.max(-1).values - chosen).max() < 1e-4


def test_a_batch_shrinks_to_few_sizes_and_never_below_its_unfinished_rows() -> None:
    sizes = [_rows_to_keep(n) for n in range(1, 65)]
    assert all(size >= n for n, size in enumerate(sizes, 1))
    assert sizes[:10] == [1, 2, 3, 4, 8, 8, 8, 8, 16, 16]
    assert len(set(sizes)) == 12
