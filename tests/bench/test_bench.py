"""The benches run, in the promised shape; what they say of time is not tested."""

import json

import pytest
import torch

from echochamber.base import InputError
from echochamber.bench import Settings, comparison, in_turns, run_bench, table
from echochamber.bench.workload import (
    EOS_ID,
    bench_model,
    product_parameters,
    prompts,
    sampling_flops,
    with_mean_length,
)
from echochamber.model import ModelConfig
from echochamber.rollout import NativeEngine, Sampling


@pytest.mark.parametrize("name", ["rollout", "pretrain"])
def test_a_result_has_the_promised_shape(name: str) -> None:
    pytest.importorskip("transformers")
    result = run_bench(name, Settings(repeats=2, quick=True))
    assert json.loads(json.dumps(result)) == result
    assert result["name"] == name
    for row in (result, *result["rows"]):
        assert row["ours"]["median_seconds"] > 0
        assert {"name", "version", "median_seconds"} <= row["peer"].keys()
        assert row["ratio"] > 0
        assert row["floor_fraction"] > 0
        assert len(row["ratios"]) == 2
    assert result["machine"]["threads"] == torch.get_num_threads()
    header, rows = table(result)
    assert [len(row) for row in rows] == [len(header)]


def test_unknown_bench_suggests_the_nearest() -> None:
    with pytest.raises(InputError, match="unknown bench 'rolout'.*Did you mean 'rollout'"):
        run_bench("rolout")


def test_comparison_by_hand() -> None:
    row = comparison([1.0, 2.0, 4.0], [6.0, 6.0, 6.0], peer="p", version="1", floor_seconds=0.5)
    assert row["ratios"] == [6.0, 3.0, 1.5]
    assert row["ratio"] == 3.0
    assert row["ours"] == {"median_seconds": 2.0, "least_seconds": 1.0, "most_seconds": 4.0}
    assert row["floor_fraction"] == 0.25


def test_both_sides_take_turns_after_one_untimed_call() -> None:
    calls: list[tuple[str, int]] = []
    ours, peer = in_turns(lambda r: calls.append(("ours", r)), lambda r: calls.append(("peer", r)), 2)
    assert calls == [("ours", 2), ("peer", 2), ("ours", 0), ("peer", 0), ("ours", 1), ("peer", 1)]
    assert len(ours) == len(peer) == 2


def test_the_benchs_model_stops_after_the_chosen_mean_length() -> None:
    model = with_mean_length(bench_model("pico", context_length=256), 16)
    results = NativeEngine(model, eos_id=EOS_ID, pad_id=1).generate(
        prompts(16), Sampling(max_new_tokens=200), num_samples=32, seed=0, step=0
    )
    lengths = [len(completion.token_ids) for group in results for completion in group]
    assert sum(lengths) / len(lengths) == pytest.approx(16, rel=0.15)


def test_sampling_flops_by_hand() -> None:
    config = ModelConfig(d_model=4, num_layers=1, num_heads=1, mlp_hidden=8, vocab_size=10, context_length=8)
    # Block: 4 x 16 + 3 x 32 = 160 weights; output matrix: 40.
    assert product_parameters(config) == 200
    # A prompt of 2 tokens: 2 x 160 x 2 for the block, 2 x 40 for one row of logits, 16 x 3 for attention.
    prompt = 640 + 80 + 48
    # A completion of 3 tokens reads 2 back: 2 x 200 each, attention over 3 and 4 positions, 16 each.
    assert sampling_flops(config, [2], [[3, 1]]) == prompt + 800 + 16 * 7
