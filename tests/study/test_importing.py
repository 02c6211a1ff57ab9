"""Models that are imported into a study do not change."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer as Bpe
from tokenizers import models, normalizers, processors

from echochamber.base import EchoError, InputError, read_json
from echochamber.cli.main import run_cli
from echochamber.corpora import Tokenizer
from echochamber.model import load_policy
from echochamber.study import Study, export_model, find_models, import_model, load_trained
from echochamber.study.importing import read_model

QUESTIONS = [
    "Ann has 3 pens. She buys 4 more. How many pens does she have?",
    "  What is 2 + 2?  \n",
    "</s> 7?",
]


def llama_tokenizer(folder: Path) -> None:
    """As Llama 2 ships it: words by a normalizer, bytes as a fallback, a beginning of text put in front."""
    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2} | {f"<0x{b:02X}>": 3 + b for b in range(256)}
    for letter in "▁abcdefghijklmnopqrstuvwxyz":
        vocabulary[letter] = len(vocabulary)
    bpe = Bpe(models.BPE(vocabulary, [], unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    bpe.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    bpe.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    bpe.add_special_tokens(["<unk>", "<s>", "</s>"])
    bpe.save(str(folder / "tokenizer.json"))
    settings = {"eos_token": {"content": "</s>"}, "bos_token": "<s>", "add_bos_token": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def original_layout(source: Path, target: Path) -> None:
    """An export as the original training code's converter would have written it."""
    state, description = load_file(source / "model.safetensors"), read_json(source / "config.json")
    named = {
        "transformer.wte.weight": state["model.embed_tokens.weight"],
        "transformer.ff_out.weight": state["lm_head.weight"],
    }
    for i in range(description["num_hidden_layers"]):
        theirs, ours = f"transformer.blocks.{i}", f"model.layers.{i}"
        qkv = [state[f"{ours}.self_attn.{n}_proj.weight"] for n in "qkv"]
        up, gate = state[f"{ours}.mlp.up_proj.weight"], state[f"{ours}.mlp.gate_proj.weight"]
        named[f"{theirs}.att_proj.weight"] = torch.cat(qkv)
        named[f"{theirs}.attn_out.weight"] = state[f"{ours}.self_attn.o_proj.weight"]
        named[f"{theirs}.ff_proj.weight"] = torch.cat([up, gate])
        named[f"{theirs}.ff_out.weight"] = state[f"{ours}.mlp.down_proj.weight"]
    target.mkdir()
    torch.save({f"model.{name}": tensor for name, tensor in named.items()}, target / "pytorch_model.bin")
    config = {
        "model_type": "hf_olmo", "d_model": description["hidden_size"],
        "n_layers": description["num_hidden_layers"], "n_heads": description["num_attention_heads"],
        "mlp_hidden_size": 2 * description["intermediate_size"], "mlp_ratio": 4,
        "vocab_size": description["vocab_size"], "embedding_size": description["vocab_size"],
        "max_sequence_length": description["max_position_embeddings"], "weight_tying": False, "rope": True,
        "alibi": False, "activation_type": "swiglu", "include_bias": False, "layer_norm_with_affine": False,
        "layer_norm_type": "default", "multi_query_attention": False, "init_std": 0.02,
    }  # fmt: skip
    (target / "config.json").write_text(json.dumps(config))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(source / name, target / name)


@pytest.mark.parametrize("layout", ["olmo", "original"])
def test_import_gives_the_model_back(finished: Study, exported: Path, tmp_path: Path, layout: str) -> None:
    source = exported
    if layout == "original":
        source = tmp_path / "original"
        original_layout(exported, source)
    facts = import_model(source, tmp_path / "mine")
    policy, tokenizer = load_trained(finished, find_models(finished, arm="grpo")[0])
    back = load_policy(tmp_path / "mine" / "model")
    assert all(torch.equal(t, back.state_dict()[name]) for name, t in policy.state_dict().items())
    again = Tokenizer.load(tmp_path / "mine" / "tokenizer")
    assert [again.encode_prompt(q) for q in QUESTIONS] == [tokenizer.encode_prompt(q) for q in QUESTIONS]
    assert (again.eos_id, again.pad_id, again.vocab_size) == (tokenizer.eos_id, tokenizer.pad_id, 300)
    assert facts["parameters"] == sum(p.numel() for p in policy.parameters())
    assert facts["vocabulary"] == 300
    assert read_model(tmp_path / "mine")[0].config == policy.config


def test_a_llama_tokenizer_gives_prompts_without_a_beginning_of_text(exported: Path, tmp_path: Path) -> None:
    shutil.copytree(exported, tmp_path / "llama")
    llama_tokenizer(tmp_path / "llama")
    import_model(tmp_path / "llama", tmp_path / "mine")
    tokenizer = Tokenizer.load(tmp_path / "mine" / "tokenizer")
    prompt = tokenizer.encode_prompt("what is it  ")
    assert 1 not in prompt and prompt == tokenizer.encode_prompt("what is it")
    newline = 3 + ord("\n")
    assert prompt[-2:] == [newline, newline]
    assert (tokenizer.eos_id, tokenizer.pad_id, tokenizer.vocab_size) == (2, 0, 300)
    transformers = pytest.importorskip("transformers")
    tokenizer.export(tmp_path / "out")
    peer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    for text in ("what is it\n\n", "the </s> 7"):
        assert peer(text)["input_ids"] == tokenizer.encode_solution(text)


def _edit(name: str, **changes: Any) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        (folder / name).write_text(json.dumps(read_json(folder / name) | changes))

    return edit


def _without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _weights(change: Callable[[dict[str, torch.Tensor]], None]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        state = load_file(folder / "model.safetensors")
        change(state)
        save_file(state, folder / "model.safetensors")

    return edit


@pytest.mark.parametrize(
    ("damage", "kind", "message"),
    [
        (_without("config.json"), InputError, r"holds no model: there is no config\.json"),
        (_without("model.safetensors"), InputError, r"holds no weights: expected model\.safetensors"),
        (_without("tokenizer.json"), InputError, r"expected a tokenizer folder with a tokenizer\.json"),
        (_edit("config.json", model_type="seq2seq"), InputError, r"transformers cannot load it: .*seq2seq"),
        (_edit("config.json", model_type="llama"), EchoError, r"missing keys in its weights: .*layernorm"),
        (_edit("config.json", clip_qkv=8.0), InputError, r"clip_qkv is 8\.0; expected None"),
        (_edit("config.json", hidden_size="wide"), InputError, r"config\.json: d_model: .*valid integer"),
        (_edit("config.json", vocab_size=301), EchoError, r"'embedding' has shape \(300, 64\), expected"),
        (_edit("config.json", num_hidden_layers=5), EchoError, r"'blocks\.4\.down' has shape missing"),
        (_weights(lambda s: s.__delitem__("model.layers.1.mlp.up_proj.weight")), EchoError,
         r"the weight 'model\.layers\.1\.mlp\.up_proj\.weight' is missing"),
        (_weights(lambda s: s.update(extra=torch.zeros(2))), EchoError, r"'extra'.*no such weight"),
    ],
)  # fmt: skip
def test_bad_folders_are_one_sentence(
    exported: Path, tmp_path: Path, damage: Callable[[Path], None], kind: Any, message: str
) -> None:
    shutil.copytree(exported, tmp_path / "bad")
    damage(tmp_path / "bad")
    with pytest.raises(kind, match=message):
        import_model(tmp_path / "bad", tmp_path / "mine")
    assert not (tmp_path / "mine").exists() and not (tmp_path / "mine.tmp").exists()


def test_a_tokenizer_of_another_model_is_refused(exported: Path, tmp_path: Path) -> None:
    shutil.copytree(exported, tmp_path / "bad")
    path = tmp_path / "bad" / "tokenizer.json"
    bpe = Bpe.from_file(str(path))
    bpe.add_tokens([f"more{i}" for i in range(40)])
    bpe.save(str(path))
    with pytest.raises(
        InputError, match=r"the tokenizer has \d+ tokens, but the model's embedding has 300 rows"
    ):
        import_model(tmp_path / "bad", tmp_path / "mine")


def test_a_pickle_that_runs_code_is_refused(exported: Path, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (print, ("ran",))

    original_layout(exported, tmp_path / "evil")
    torch.save({"a": Evil()}, tmp_path / "evil" / "pytorch_model.bin")
    with pytest.raises(EchoError, match="damaged or holds more than tensors"):
        import_model(tmp_path / "evil", tmp_path / "mine")


def test_nothing_is_overwritten(finished: Study, exported: Path, tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "notes.txt").write_text("mine")
    for write in (
        lambda folder: export_model(finished, folder, arm="base"),
        lambda folder: import_model(exported, folder),
    ):
        with pytest.raises(InputError, match="exists already; remove it or choose another name"):
            write(tmp_path / "used")
    assert [path.name for path in (tmp_path / "used").iterdir()] == ["notes.txt"]
    (tmp_path / "empty").mkdir()
    import_model(exported, tmp_path / "empty")
    assert {path.name for path in (tmp_path / "empty").iterdir()} == {"model", "tokenizer"}


def test_the_commands(
    finished: Study, tiny_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = ["--runs", str(finished.folder.parent)]
    assert run_cli(["export", str(tiny_file), "--arm", "grpo", "--to", str(tmp_path / "hf"), *runs]) == 0
    assert run_cli(["import", str(tmp_path / "hf"), "--to", str(tmp_path / "mine")]) == 0
    said = capsys.readouterr().out
    assert f"{2 * 300 * 64 + 4 * (4 * 64 * 64 + 3 * 64 * 256):,}" in said
    assert run_cli(["import", str(tmp_path / "nowhere"), "--to", str(tmp_path / "other")]) == 2
    assert "there is no such folder" in capsys.readouterr().err
