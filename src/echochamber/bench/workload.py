"""Work of known shape: prompts, and models whose completions have a chosen mean length."""

from __future__ import annotations

import math

import numpy as np
import torch

from echochamber.bench.measure import Machine
from echochamber.model import ModelConfig, Transformer, build, num_parameters, size_config

VOCABULARY = 1024
EOS_ID, PAD_ID = 0, 1


def vocabulary_of(size: str) -> int:
    """Vocabulary size: 1,024 below the paper's model sizes and 32,000 from there on."""
    return 32_000 if size[0].isdigit() else VOCABULARY


def bench_model(
    size: str, machine: Machine, *, context_length: int, vocabulary: int | None = None
) -> Transformer:
    """A newly initialized model of the given size."""
    vocabulary = vocabulary or vocabulary_of(size)
    config = size_config(size, vocab_size=vocabulary, context_length=context_length)
    return build(config, seed=0).to(device=machine.device, dtype=machine.dtype)


def with_mean_length(model: Transformer, mean_tokens: float) -> Transformer:
    """Make the model stop after `mean_tokens` tokens on average, eos included; returns the model.

    Every embedding gets the same extra direction, so every hidden state has about the same component
    along it, and the eos row of the output matrix points there: each token ends the completion with
    probability 1 / mean_tokens. Completion lengths are then geometric, without training anything.
    """
    config = model.config
    generator = torch.Generator().manual_seed(1)
    direction = torch.randn(config.d_model, generator=generator)
    direction = (direction - direction.mean()).to(model.embedding)
    direction = direction / direction.norm()
    tokens = torch.randint(2, config.vocab_size, (32, 24), generator=generator).to(model.embedding.device)
    with torch.no_grad():
        model.embedding.add_(direction)
        hidden = model.hidden(tokens)[:, -1].float()
        others = model.head(hidden.to(model.embedding.dtype))[:, 1:].float().logsumexp(-1).mean()
        wanted = float(others) - math.log(mean_tokens - 1)
        model.head_weight[EOS_ID] = direction * (wanted / float((hidden @ direction.float()).mean()))
    return model


def prompts(num_prompts: int, *, least: int = 10, most: int = 24, seed: int = 0) -> list[list[int]]:
    """Random token ids, eos and pad excluded; lengths uniform from `least` to `most`."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(least, most + 1, num_prompts)
    return [generator.integers(2, VOCABULARY, int(n)).tolist() for n in lengths]


def product_parameters(config: ModelConfig) -> int:
    """Number of weights a token is multiplied by: all but the embedding, which is only looked up."""
    return num_parameters(config) - (0 if config.tied_embeddings else config.vocab_size * config.d_model)


def sampling_flops(config: ModelConfig, prompt_lengths: list[int], lengths: list[list[int]]) -> float:
    """Least arithmetic of a rollout: each prompt read once, and every token of a row except the last.

    Args:
        lengths: tokens of each completion of each prompt.
    """
    head = config.vocab_size * config.d_model
    body = product_parameters(config) - head
    per_pair = 4 * config.num_layers * config.d_model
    total = 0.0
    for prompt, group in zip(prompt_lengths, lengths, strict=True):
        total += 2 * body * prompt + 2 * head + per_pair * prompt * (prompt + 1) / 2
        for tokens in group:
            steps = tokens - 1
            total += 2 * (body + head) * steps + per_pair * (steps * prompt + steps * (steps + 1) / 2)
    return total


def training_flops(config: ModelConfig, prompt_lengths: list[int], lengths: list[list[int]]) -> float:
    """Least arithmetic of one update on a rollout: forward and backward, each prompt read once per group.

    Every sampled token has its row of logits; the last token of a completion is predicted, never read.
    """
    head = config.vocab_size * config.d_model
    num_predicted = sum(map(len, lengths))
    forward = sampling_flops(config, prompt_lengths, lengths) + 2 * head * (num_predicted - len(lengths))
    return 3 * forward


def sampling_bytes(config: ModelConfig, longest: int, element_bytes: int) -> float:
    """Least memory traffic of a rollout in one batch: the weights once per step."""
    return float(product_parameters(config) * element_bytes * longest)
