"""Folders on disk, ours and Hugging Face's."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from echochamber.base import EchoError, InputError
from echochamber.model import ModelConfig, Transformer, build, load_policy
from echochamber.model.loading import load_olmo

CONFIG = ModelConfig(d_model=32, num_layers=2, num_heads=2, mlp_hidden=64, vocab_size=97, context_length=64)


@pytest.fixture
def model() -> Transformer:
    return build(CONFIG.model_copy(update={"init_std": 0.2}), seed=1)


def same_weights(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[n], right[n]) for n in left)


def test_a_saved_model_loads_to_the_same_bits(model: Transformer, tmp_path: Path) -> None:
    model.write(tmp_path / "a")
    load_policy(tmp_path / "a").write(tmp_path / "b")
    assert same_weights(model, load_policy(tmp_path / "a"))
    assert load_policy(tmp_path / "a").config == model.config
    names = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert names == ["config.json", "model.safetensors"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_saving_again_replaces_the_model(model: Transformer, tmp_path: Path) -> None:
    model.write(tmp_path)
    other = build(CONFIG, seed=2)
    other.write(tmp_path)
    assert same_weights(other, load_policy(tmp_path))


def test_half_precision_keeps_its_dtype(model: Transformer, tmp_path: Path) -> None:
    model.to(torch.bfloat16).write(tmp_path)
    assert load_policy(tmp_path).embedding.dtype == torch.bfloat16


def test_what_is_not_a_model_is_refused(model: Transformer, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no model"):
        load_policy(tmp_path)
    model.write(tmp_path / "ours")
    weights = tmp_path / "ours" / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(EchoError, match=r"model\.safetensors is damaged"):
        load_policy(tmp_path / "ours")
    weights.unlink()
    with pytest.raises(EchoError, match="missing"):
        load_policy(tmp_path / "ours")
    save_file({"embedding": torch.zeros(3, 3)}, weights)
    with pytest.raises(EchoError, match=r"weight 'blocks\.0\.down' has shape missing"):
        load_policy(tmp_path / "ours")


def test_an_unwritable_place_is_the_users_mistake(model: Transformer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        model.write(tmp_path / "file" / "model")


@pytest.mark.parametrize("tied", [False, True])
def test_transformers_loads_the_export_with_identical_logits(tied: bool, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    model = build(
        CONFIG.model_copy(update={"init_std": 0.2, "tied_embeddings": tied, "rope_theta": 123.0}), seed=1
    )
    model.export(tmp_path, eos_id=5, pad_id=6)
    peer = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert type(peer).__name__ == "OlmoForCausalLM"
    assert (peer.config.eos_token_id, peer.config.pad_token_id) == (5, 6)
    tokens = torch.randint(97, (2, 33), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        assert torch.equal(model(tokens), peer(tokens).logits)
    peer.save_pretrained(tmp_path / "theirs")
    back = load_olmo(tmp_path / "theirs")
    assert same_weights(model, back)
    assert back.config == model.config


def test_sharded_folders_are_read(model: Transformer, tmp_path: Path) -> None:
    model.export(tmp_path, eos_id=0, pad_id=1)
    state = load_file(tmp_path / "model.safetensors")
    names = sorted(state)
    parts = {"model-1.safetensors": names[:5], "model-2.safetensors": names[5:]}
    for file, held in parts.items():
        save_file({n: state[n] for n in held}, tmp_path / file)
    index = {"weight_map": {n: file for file, held in parts.items() for n in held}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "model.safetensors").unlink()
    assert same_weights(model, load_olmo(tmp_path))


def test_the_original_layout_has_up_before_gate(model: Transformer, tmp_path: Path) -> None:
    state = {
        "model.transformer.wte.weight": model.embedding,
        "model.transformer.ff_out.weight": model.unembedding,
    }
    for i, block in enumerate(model.blocks):
        gate, up = block.gate_up.chunk(2)
        prefix = f"model.transformer.blocks.{i}"
        state[f"{prefix}.att_proj.weight"] = block.qkv
        state[f"{prefix}.attn_out.weight"] = block.out
        state[f"{prefix}.ff_proj.weight"] = torch.cat((up, gate))
        state[f"{prefix}.ff_out.weight"] = block.down
    save_file({n: t.detach().contiguous() for n, t in state.items()}, tmp_path / "model.safetensors")
    description = {
        "model_type": "hf_olmo", "d_model": 32, "n_layers": 2, "n_heads": 2, "mlp_ratio": 4,
        "mlp_hidden_size": None, "vocab_size": 97, "embedding_size": None, "max_sequence_length": 64,
        "weight_tying": False, "rope": True, "activation_type": "swiglu", "include_bias": False,
        "layer_norm_with_affine": False, "init_std": 0.02,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(description))
    assert same_weights(model, load_olmo(tmp_path))


def test_other_architectures_are_refused(model: Transformer, tmp_path: Path) -> None:
    model.export(tmp_path, eos_id=0, pad_id=1)
    description = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(description | {"num_key_value_heads": 1}))
    with pytest.raises(InputError, match="num_key_value_heads is 1; expected 2"):
        load_olmo(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(InputError, match="'llama': expected 'olmo'"):
        load_olmo(tmp_path)
