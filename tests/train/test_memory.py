"""The arithmetic of memory against what autograd keeps, and the paper's models on one 80 GB card."""

from __future__ import annotations

import pytest
import torch

from echochamber.model import ModelConfig, build, num_parameters, size_config
from echochamber.rl import DAPOConfig, PPOConfig
from echochamber.train import (
    GIB,
    activation_bytes_per_token,
    autocast,
    microbatch_that_fits,
    next_token_loss,
    pretraining_bytes,
)
from echochamber.train.memory import kept_bytes, step_bytes


def saved_bytes(num_layers: int, precision: str) -> int:
    """Bytes that a forward pass over 2 x 64 tokens keeps for its backward pass, parameters not counted."""
    config = ModelConfig(
        d_model=128, num_layers=num_layers, num_heads=2, mlp_hidden=384, vocab_size=64, context_length=64
    )
    model = build(config, seed=0)
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in own:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        tokens = torch.randint(64, (2, 65), generator=torch.Generator().manual_seed(0))
        with autocast(torch.device("cpu"), precision):
            loss = next_token_loss(model, tokens)
    assert loss.total.requires_grad
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_activations_are_what_autograd_keeps(precision: str) -> None:
    """Two more blocks keep two blocks' worth, and in autocast their weights' bfloat16 copies."""
    config = ModelConfig(
        d_model=128, num_layers=2, num_heads=2, mlp_hidden=384, vocab_size=64, context_length=64
    )
    half = precision == "bfloat16"
    copies = 2 * 2 * (4 * 128**2 + 3 * 128 * 384) if half else 0
    measured = (saved_bytes(4, precision) - saved_bytes(2, precision) - copies) / 128
    assert measured == pytest.approx(activation_bytes_per_token(config, bfloat16=half), rel=0.01)


def test_parts_by_hand() -> None:
    assert kept_bytes(100) == {"weights": 400, "Adam moments": 800}
    assert step_bytes(100) == {"gradients": 400, "bfloat16 copies": 200}
    whole = pretraining_bytes(size("1b"), microbatch_tokens=0, checkpointing=False)
    parts = pretraining_bytes(size("1b"), microbatch_tokens=0, checkpointing=False, sharded_over=4)
    assert sum(whole.values()) - sum(parts.values()) == pytest.approx(18 * num_parameters(size("1b")) * 3 / 4)


def size(name: str, context: int = 1024) -> ModelConfig:
    return size_config(name, vocab_size=50304, context_length=context)


def test_the_papers_pretraining_fits_one_card() -> None:
    for name, rows in (("150m", 16), ("1b", 4)):
        parts = pretraining_bytes(size(name, 2048), microbatch_tokens=rows * 2048, checkpointing=False)
        assert sum(parts.values()) < 70 * GIB
    whole = pretraining_bytes(size("1b", 2048), microbatch_tokens=32 * 2048, checkpointing=False)
    again = pretraining_bytes(size("1b", 2048), microbatch_tokens=32 * 2048, checkpointing=True)
    assert sum(whole.values()) > 80 * GIB > sum(again.values())


def test_actor_reference_and_critic_of_1b_fit_one_card() -> None:
    """12 bytes per parameter for actor and critic each, 6 for a step, and 4, 2 or 0 for the reference."""
    settings = {"task": "train", "max_new_tokens": 512}
    found = {
        where: PPOConfig(**settings, keep_reference=where).gpu_bytes(size("1b"))
        for where in ("device", "bfloat16", "host")
    }
    assert found["device"]["policy: Adam moments"] == 8 * num_parameters(size("1b"))
    assert found["device"]["reference"] == 4 * num_parameters(size("1b"))
    totals = {where: sum(parts.values()) for where, parts in found.items()}
    assert totals["host"] < totals["bfloat16"] < totals["device"] < 75e9
    without = DAPOConfig(**settings, reference="none", measure_kl=False).gpu_bytes(size("1b"))
    assert "reference" not in without
    assert not any(name.startswith("critic") for name in without)


def test_microbatches_shrink_with_the_model() -> None:
    assert microbatch_that_fits(size("150m")) == 16384
    assert microbatch_that_fits(size("1b")) == 4096
