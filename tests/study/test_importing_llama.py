"""A study whose base model is a Llama: imported, measured, post-trained, sampled, and exported again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from echochamber.base import InputError, read_json
from echochamber.cli.main import run_cli
from echochamber.evaluation import format_probabilities
from echochamber.study import (
    Study,
    estimate,
    export_model,
    find_models,
    import_model,
    load_trained,
    open_study,
    run_study,
    sample_completions,
)  # fmt: skip

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def folder(finished: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Llama beside the tokenizer of the tiny study, as `save_pretrained` leaves it."""
    _, tokenizer = load_trained(finished, find_models(finished, arm="base")[0])
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=304, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=96, bos_token_id=None,
        eos_token_id=tokenizer.eos_id, pad_token_id=tokenizer.pad_id,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("llama") / "tiny"
    transformers.LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(path)
    tokenizer.export(path)
    return path


@pytest.fixture(scope="module")
def study_file(tiny_file: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = yaml.safe_load(tiny_file.read_text())
    for key in ("sources", "tokenizer", "mixtures", "model", "pretrain"):
        del data[key]
    path = tmp_path_factory.mktemp("study") / "llama.yaml"
    path.write_text(yaml.safe_dump({**data, "study": "llama", "models": {"tiny": {"path": str(folder)}}}))
    return path


@pytest.fixture(scope="module")
def trained(study_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = open_study(study_file, runs=tmp_path_factory.mktemp("runs"))
    run_study(study)
    return study


def test_it_runs_to_the_end(trained: Study) -> None:
    rows = read_json(trained.folder / "summary.json")["rows"]
    assert {(row["arm"], row["size"], row["step"]) for row in rows} == {
        ("base", "tiny", 0), ("grpo", "tiny", 0), ("grpo", "tiny", 2),
    }  # fmt: skip
    base, _ = load_trained(trained, find_models(trained, arm="base")[0])
    tuned, tokenizer = load_trained(trained, find_models(trained, arm="grpo")[0])
    assert base.head_weight.dtype == torch.float32 and tokenizer.vocab_size == 304
    assert (
        len(sample_completions(trained, "What is 2?", arm="grpo", num_samples=2, temperature=1, seed=0)) == 2
    )
    (found,) = format_probabilities(tuned, tokenizer, ["What is 2?"], {"boxed": ["4"]})
    assert found.reference_logprob < 0 and type(tuned).__name__ == "HFPolicy"
    assert estimate(trained).models[0]["parameters"] == sum(p.numel() for p in base.parameters())


def test_an_export_is_read_with_the_same_ids_and_logits(trained: Study, tmp_path: Path) -> None:
    export_model(trained, tmp_path / "out", arm="grpo")
    policy, tokenizer = load_trained(trained, find_models(trained, arm="grpo")[0])
    peer = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    ids = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")("What is 2?\n\n")["input_ids"]
    assert ids == tokenizer.encode_prompt("What is 2?")
    with torch.no_grad():
        assert torch.equal(policy(torch.tensor([ids])), peer(torch.tensor([ids])).logits)
    assert peer.generation_config.eos_token_id == tokenizer.eos_id


def test_the_native_engine_is_refused_before_the_model_is_measured(study_file: Path, tmp_path: Path) -> None:
    study = open_study(study_file, ["engine=native"], tmp_path)
    with pytest.raises(InputError, match="OLMo-1 architecture only; set engine: hf, or auto"):
        run_study(study)


def test_the_command_checks_and_copies_it(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(["import", str(folder), "--to", str(tmp_path / "mine")]) == 0
    assert "llama" in capsys.readouterr().out
    assert import_model(tmp_path / "mine", tmp_path / "again")["architecture"] == "llama"
