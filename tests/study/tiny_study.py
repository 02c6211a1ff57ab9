"""A study that runs in seconds."""

from __future__ import annotations

TINY = """
study: tiny
seed: 3
tasks:
  test: {kind: word_problems, num_problems: 12, levels: [1], largest: 9}
  train: {kind: word_problems, num_problems: 16, levels: [1], largest: 9}
sources:
  code: {kind: word_problems, format: tinygsm, levels: [1], largest: 9}
  prose: {kind: word_problems, format: boxed, levels: [1], largest: 9}
tokenizer: {vocab_size: 300}
mixtures:
  even: {kind: controlled, tokens: 6000, shares: {code: 0.5, prose: 0.5}}
model: {sizes: [pico], context_length: 96}
pretrain:
  batch_size: 4
  sequence_length: 32
  optimizer: {learning_rate: 4e-3, warmup_steps: 2}
evaluation: {benchmarks: [test], num_samples: 2, max_new_tokens: 24, num_points: 3}
arms:
  grpo:
    algorithm: grpo
    task: train
    steps: 2
    prompts_per_step: 4
    prompts_per_update: null
    samples_per_prompt: 4
    max_new_tokens: 24
    kl_coefficient: 0
"""
