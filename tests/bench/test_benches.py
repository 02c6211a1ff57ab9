"""The benches run, in the promised shape; what they say of time is not tested."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from echochamber.base import InputError, no_progress
from echochamber.bench import Machine, Settings, comparison, in_turns, run_bench, table
from echochamber.bench.measure import target
from echochamber.bench.profile import kind_of
from echochamber.bench.study import split
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


def quick(**more: Any) -> Settings:
    return Settings(repeats=2, quick=True, machine=Machine.named("cpu"), show=no_progress, **more)


def check_shape(result: dict[str, Any], name: str) -> None:
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert result["name"] == name
    for row in (result, *result["rows"]):
        assert row["ours"]["median_seconds"] > 0
        assert row["floor_fraction"] is None or row["floor_fraction"] > 0
        for promised in row["targets"]:
            assert {"of", "measured", "met"} < promised.keys()
        if row["peer"] is None:
            assert row["ratio"] is None
            assert row["why_no_peer"]
        else:
            assert {"name", "version", "median_seconds"} <= row["peer"].keys()
            assert row["ratio"] > 0
            assert len(row["ratios"]) == 2
    assert result["machine"]["threads"] == torch.get_num_threads()
    lines = table(result)
    assert len(lines) == sum(max(1, len(row["targets"])) for row in result["rows"])


@pytest.mark.parametrize("name", ["rollout", "pretrain", "evaluation", "verify", "profile"])
def test_a_result_has_the_promised_shape(name: str) -> None:
    pytest.importorskip("transformers")
    check_shape(run_bench(name, quick()), name)


@pytest.mark.long
def test_a_step_beside_trl_is_the_same_work() -> None:
    pytest.importorskip("trl")
    result = run_bench("rl-step", quick())
    check_shape(result, "rl-step")
    assert result["stages"].keys() == {"rollout_seconds", "grade_seconds", "update_seconds"}
    # Geometric lengths cut at 8 tokens, sampled by both from the same weights.
    assert result["mean_tokens"] == pytest.approx(result["peer_mean_tokens"], rel=0.2)


@pytest.mark.long
@pytest.mark.long
def test_growth_is_measured_and_drawn(tmp_path: Path) -> None:
    result = run_bench("scaling", quick(out=tmp_path))
    check_shape(result, "scaling")
    axes = {row["axis"] for row in result["rows"]}
    assert axes == {"model size", "samples per prompt", "completion tokens", "problems"}
    tokens = {row["x"]: row["tokens"] for row in result["rows"] if row["axis"] == "completion tokens"}
    # Nothing ends early, so the cost of a length is that of the whole length.
    assert tokens == {32: 32 * 4 * 8, 128: 128 * 4 * 8}
    assert (tmp_path / "scaling.png").stat().st_size > 10_000


def test_operators_have_a_kind() -> None:
    assert kind_of("aten::mm") == "matrix products"
    assert kind_of("mkldnn::_linear_pointwise") == "matrix products"
    assert kind_of("aten::baddbmm_") == "attention"
    assert kind_of("aten::_softmax") == "softmax, loss and sampling"
    assert kind_of("aten::_fused_adamw_") == "optimizer and clipping"
    assert kind_of("aten::sin") == "other"


def test_where_a_studys_time_goes(tmp_path: Path) -> None:
    entries = [
        {"stage": "pretrain", "seconds": 2.0, "tokens": 10},
        {"stage": "rl", "what": "train", "rollout_seconds": 1.0, "grade_seconds": 0.5, "update_seconds": 3.0},
        {"stage": "rl", "what": "train", "update_seconds": 4.0},
        {"stage": "rl", "what": "evaluation", "seconds": 5.0},
    ]
    (tmp_path / "timing.jsonl").write_text("\n".join(map(json.dumps, entries)))
    assert split(tmp_path / "timing.jsonl") == {
        "pretrain": 2.0, "rollout": 1.0, "grade": 0.5, "update": 7.0, "evaluate": 5.0,
    }  # fmt: skip


def test_a_study_that_is_not_there_is_a_sentence() -> None:
    with pytest.raises(InputError, match=r"no study file at nowhere.yaml: give one with --study"):
        run_bench("study", Settings(study=Path("nowhere.yaml"), show=no_progress))


def test_a_missing_peer_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(InputError, match=r"pip install 'echochamber\[bench\]'"):
        run_bench("rollout", quick())


def test_an_unknown_device_is_a_sentence() -> None:
    with pytest.raises(InputError, match="device 'abacus' cannot be used here"):
        Machine.named("abacus")


def test_targets_are_met_at_their_bound() -> None:
    assert target(6.0, "x", at_least=6.0) == {"of": "x", "measured": 6.0, "at_least": 6.0, "met": True}
    assert not target(5.9, "x", at_least=6.0)["met"]
    assert target(1.2, "x", at_most=1.2)["met"]
    assert not target(1.3, "x", at_most=1.2)["met"]


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
    ours, peer = in_turns(
        lambda r: calls.append(("ours", r)), lambda r: calls.append(("peer", r)), quick(), "turns"
    )
    assert calls == [("ours", 2), ("peer", 2), ("ours", 0), ("peer", 0), ("ours", 1), ("peer", 1)]
    assert len(ours) == len(peer) == 2


def test_the_benchs_model_stops_after_the_chosen_mean_length() -> None:
    model = with_mean_length(bench_model("pico", Machine.named("cpu"), context_length=256), 16)
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
