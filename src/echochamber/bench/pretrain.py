"""Pretraining steps: ours against transformers' model in a plain loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F

from echochamber.bench.measure import (
    Machine,
    Settings,
    comparison,
    describe_machine,
    in_turns,
    measure_rates,
    peer_library,
    target,
)
from echochamber.bench.workload import EOS_ID, PAD_ID, product_parameters, vocabulary_of
from echochamber.model import (
    ModelConfig,
    Transformer,
    build,
    hf_config,
    hf_state,
    num_parameters,
    size_config,
)
from echochamber.train import OptimizerConfig, autocast, make_optimizer, next_token_loss, optimizer_step

HEADLINE = "small"
# Multiple of the pairs of other benches: here the two differ by a few percent, and one pair varies by ten.
MORE_PAIRS = 3
# size: sequences, tokens of a sequence, steps timed together
SHAPES = {
    "pico": (16, 128, 8),
    "nano": (16, 128, 4),
    "micro": (16, 128, 1),
    "small": (16, 128, 1),
    "150m": (16, 1024, 4),
    "300m": (8, 1024, 4),
    "500m": (8, 1024, 4),
    "1b": (4, 1024, 4),
}


def bench_pretrain(settings: Settings) -> dict[str, Any]:
    """Seconds per optimizer step (forward, backward, clipping, AdamW) on the same batch and weights.

    The floor is the arithmetic of the matrix products at the measured rate of a large one; the embedding's
    lookup does not count, and causal attention counts for the positions it can see.
    """
    on_gpu = settings.machine.device.type == "cuda"
    sizes = settings.sizes or (("pico",) if settings.quick else ("small", "pico", "nano", "micro"))
    if on_gpu and settings.sizes is None and not settings.quick:
        sizes = ("150m", "small", "micro", "nano")
    rows = [_compare(size, settings) for size in sizes]
    return {"name": "pretrain", **rows[0], "machine": describe_machine(settings.machine), "rows": rows}


def _compare(size: str, settings: Settings) -> dict[str, Any]:
    machine = settings.machine
    batch, length, steps = SHAPES[size]
    if settings.quick:
        batch, length, steps = 2, 16, 1
    vocabulary = vocabulary_of(size)
    config = size_config(size, vocab_size=vocabulary, context_length=length)
    model = build(config, seed=0).to(machine.device)
    tokens = torch.randint(vocabulary, (batch, length + 1), generator=torch.Generator().manual_seed(1))
    tokens = tokens.to(machine.device)
    rates = measure_rates(settings)
    ours = training_steps(model, tokens, steps, machine)
    peer, version = _peer(model, tokens, steps, machine)
    many = settings if settings.quick else replace(settings, repeats=MORE_PAIRS * settings.repeats)
    our_seconds, peer_seconds = in_turns(ours, peer, many, f"pretrain {size}")
    our_seconds = [s / steps for s in our_seconds]
    peer_seconds = [s / steps for s in peer_seconds]
    num_tokens = batch * length
    floor = step_flops(config, batch, length) / rates.flops_per_second
    row = comparison(
        our_seconds, peer_seconds, peer="transformers, plain loop", version=version, floor_seconds=floor
    )
    median = row["ours"]["median_seconds"]
    row["ours"]["tokens_per_second"] = num_tokens / median
    row["peer"]["tokens_per_second"] = num_tokens / row["peer"]["median_seconds"]
    rate_by_6n = 6 * num_parameters(config) * num_tokens / median
    targets = [target(row["ratio"], "times the peer's speed", at_least=1.0)]
    if size == HEADLINE:
        fraction = rate_by_6n / rates.flops_per_second
        targets.append(target(fraction, "of the matrix-product rate, by 6 N", at_least=0.8))
    return {
        "size": size,
        "targets": targets,
        "batch": [batch, length],
        **row,
        "gigaflops_per_second": rates.flops_per_second / 1e9,
        "gigaflops_per_second_by_6n": rate_by_6n / 1e9,
        "fraction_by_6n": rate_by_6n / rates.flops_per_second,
    }


def step_flops(config: ModelConfig, batch: int, length: int) -> float:
    """Arithmetic of one optimizer step's matrix products and attention."""
    products = 6.0 * product_parameters(config) * batch * length
    # Forward: scores and weighted sum; backward: twice that.
    attention = 3 * 4.0 * config.num_layers * config.d_model * batch * length * (length + 1) / 2
    return products + attention


def training_steps(model: Transformer, tokens: torch.Tensor, steps: int, machine: Machine) -> Any:
    """The given number of optimizer steps on the same tokens; called with the repetition's number."""
    config = OptimizerConfig(learning_rate=1e-4)
    optimizer = make_optimizer(model, config)

    def work(repeat: int) -> None:
        for _ in range(steps):
            with autocast(machine.device, "auto"):
                optimizer_step(
                    model,
                    optimizer,
                    config,
                    [tokens],
                    lambda batch: next_token_loss(model, batch),
                    number=0,
                    total=1,
                    normalizer=float(tokens[:, 1:].numel()),
                )

    return work


def pretraining_step(
    size: str, batch: int, length: int, machine: Machine
) -> tuple[Transformer, Callable[[int], object]]:
    """A model of the given size and one optimizer step of it on random tokens."""
    config = size_config(size, vocab_size=vocabulary_of(size), context_length=length)
    model = build(config, seed=0).to(machine.device)
    tokens = torch.randint(
        config.vocab_size, (batch, length + 1), generator=torch.Generator().manual_seed(1)
    ).to(machine.device)
    return model, training_steps(model, tokens, 1, machine)


def _peer(model: Transformer, tokens: torch.Tensor, steps: int, machine: Machine) -> tuple[Any, str]:
    transformers = peer_library("transformers")
    described = hf_config(model.config, eos_id=EOS_ID, pad_id=PAD_ID, bos_id=None)
    peer = transformers.OlmoForCausalLM(transformers.OlmoConfig(**described)).to(machine.device)
    peer.load_state_dict(hf_state(model.state_dict()), strict=not model.config.tied_embeddings)
    peer.train()
    optimizer = torch.optim.AdamW(peer.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1)

    def work(repeat: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            with autocast(machine.device, "auto"):
                logits = peer(tokens[:, :-1], use_cache=False).logits
                loss = F.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten())
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(peer.parameters(), 1.0)
            optimizer.step()
            loss.item()

    return work, str(transformers.__version__)
