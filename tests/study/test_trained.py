"""Trained models of a finished study: found, exported, evaluated again."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from echochamber.base import InputError, read_json
from echochamber.rollout import NativeEngine, Sampling
from echochamber.study import (
    Study,
    evaluate_model,
    export_model,
    find_models,
    load_trained,
    open_study,
)

QUESTIONS = [
    "Ann has 3 pens. She buys 4 more. How many pens does she have?",
    "  What is 2 + 2?  \n",
    "</s> 7?",
]


@pytest.mark.parametrize("arm", ["base", "grpo"])
def test_the_studys_own_settings_give_its_own_numbers(finished: Study, arm: str, tmp_path: Path) -> None:
    rows = evaluate_model(finished, arm=arm, settings={}, out=tmp_path / "again.parquet")
    told = [row for row in read_json(finished.folder / "summary.json")["rows"] if row["arm"] == arm]
    last = max(row["step"] for row in told)
    expected = {row["greedy"]: row for row in told if row["step"] == last}
    assert len(rows) == 2
    for row in rows:
        for name in ("pass_at", "maj_at", "share", "accuracy"):
            assert row[name] == expected[row["greedy"]][name]
    table = pq.read_table(tmp_path / "again.parquet")
    assert table.num_rows == 12 * (1 + 2)


def test_other_settings(finished: Study) -> None:
    settings = {"num_problems": 3, "num_samples": 4, "greedy": False, "pass_at": (1, 4), "temperature": 0.5}
    (row,) = evaluate_model(finished, arm="grpo", settings=settings)
    assert set(row["pass_at"]) == {"1", "4"} and row["temperature"] == 0.5


@pytest.mark.parametrize(
    ("arm", "settings", "message"),
    [
        ("grop", {}, "has no arm 'grop'"),
        ("grpo", {"benchmarks": ("tset",)}, "has no task 'tset'.*Did you mean 'test'"),
        ("grpo", {"num_samples": 2, "pass_at": (8,)}, "pass_at 8 needs at least as many samples"),
        ("grpo", {"temperature": -1.0}, "temperature: .*greater than or equal to 0"),
        ("grpo", {"max_new_tokens": 500}, "the model's context of 96. Lower max_new_tokens to at most"),
    ],
)
def test_what_cannot_be_measured(
    finished: Study, arm: str, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        evaluate_model(finished, arm=arm, settings=settings)


def test_transformers_reads_an_export_with_the_same_ids_logits_and_text(
    finished: Study, exported: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    policy, tokenizer = load_trained(finished, find_models(finished, arm="grpo")[0])
    peer = transformers.AutoModelForCausalLM.from_pretrained(exported).eval()
    peer_tokenizer = transformers.AutoTokenizer.from_pretrained(exported)
    assert (peer_tokenizer.eos_token_id, peer_tokenizer.pad_token_id) == (tokenizer.eos_id, tokenizer.pad_id)
    engine = NativeEngine(policy, eos_id=tokenizer.eos_id, pad_id=tokenizer.pad_id)
    for question in QUESTIONS:
        ids = peer_tokenizer(question.rstrip() + "\n\n")["input_ids"]
        assert ids == tokenizer.encode_prompt(question)
        tokens = torch.tensor([ids])
        with torch.no_grad():
            assert torch.equal(policy(tokens), peer(tokens).logits)
        theirs = peer.generate(tokens, do_sample=False, max_new_tokens=24)[0, len(ids) :]
        ours = engine.generate(
            [ids], Sampling(temperature=0, max_new_tokens=24), num_samples=1, seed=0, step=0
        )
        text = tokenizer.decode(ours[0][0].token_ids.tolist())
        assert text
        assert peer_tokenizer.decode(theirs, skip_special_tokens=True) == text


def test_an_export_in_half_precision(finished: Study, tmp_path: Path) -> None:
    export_model(finished, tmp_path / "half", arm="base", dtype="bfloat16")
    state = load_file(tmp_path / "half" / "model.safetensors")
    assert {tensor.dtype for tensor in state.values()} == {torch.bfloat16}
    assert read_json(tmp_path / "half" / "config.json")["dtype"] == "bfloat16"


def test_choosing_a_model(finished: Study, tiny_file: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no arm 'ppo': expected one of base, grpo"):
        export_model(finished, tmp_path / "x", arm="ppo")
    with pytest.raises(InputError, match="has no size '1b': expected one of pico"):
        export_model(finished, tmp_path / "x", arm="grpo", size="1b")
    with pytest.raises(InputError, match="unknown dtype 'int8'"):
        export_model(finished, tmp_path / "x", arm="grpo", dtype="int8")
    several = open_study(tiny_file, ["seed=[3, 4]"], finished.folder.parent)
    with pytest.raises(InputError, match="2 models of arm 'grpo'; choose one: .*--seed 3; .*--seed 4"):
        export_model(several, tmp_path / "x", arm="grpo")
    with pytest.raises(InputError, match="is not finished; run the study first"):
        export_model(several, tmp_path / "x", arm="grpo", seed=4)
    assert find_models(several, arm="grpo", seed=3)[0].stage.seed == 3
    assert not list(tmp_path.iterdir())
