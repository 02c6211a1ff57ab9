"""A world small enough to train in: letters as tokens, a grader that looks at letters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from echochamber.base import Problem
from echochamber.model import ModelConfig, Transformer, build
from echochamber.rl import PostTrainResult, RLConfig, post_train
from echochamber.rollout import Completion, SampledTokens
from echochamber.verify import Outcome, Verdict

LETTERS = "abcdefgh"


class ToyTokenizer:
    """Letters a to h, then eos, then pad."""

    vocab_size, eos_id, pad_id = 10, 8, 9

    def encode_prompts(self, questions: Sequence[str]) -> list[list[int]]:
        return [self.encode_solution(question) for question in questions]

    def encode_prompt(self, question: str) -> list[int]:
        return self.encode_solution(question)

    def encode_solution(self, text: str) -> list[int]:
        return [LETTERS.index(letter) for letter in text]

    def decode_batch(self, rows: Sequence[Sequence[int]]) -> list[str]:
        return ["".join(LETTERS[i] for i in row if i < 8) for row in rows]


class ToyGrader:
    """Format by the first letter: a to d is `tinygsm`, e to h is `boxed`, nothing is `none`.

    Correct if the last letter is the gold one; counts its calls.
    """

    def __init__(self) -> None:
        self.calls = 0

    def grade(
        self,
        completions: Sequence[str],
        golds: Sequence[str],
        *,
        rules: str = "gsm8k",
        truncated: Sequence[bool] | None = None,
    ) -> list[Verdict]:
        self.calls += 1
        verdicts = []
        for text, gold in zip(completions, golds, strict=True):
            label = "none" if not text else "tinygsm" if text[0] in "abcd" else "boxed"
            right = text.endswith(gold) and bool(text)
            outcome = Outcome.correct if right else Outcome.wrong
            verdicts.append(Verdict(label, outcome, text[-1:] or None, float(right)))
        return verdicts


def toy_policy(seed: int = 0, dtype: torch.dtype = torch.float32) -> Transformer:
    """Two layers, width 16, enough noise in its weights that logits differ."""
    config = ModelConfig(
        d_model=16, num_layers=2, num_heads=2, mlp_hidden=32, vocab_size=10, context_length=24, init_std=0.25
    )
    return build(config, seed=seed).to(dtype)


def toy_problems(count: int = 12) -> list[Problem]:
    """Questions of 1 to 4 letters, every one answered by `a`."""
    return [
        Problem(key=f"p{i}", question=(LETTERS[i % 8] * (1 + i % 4)), gold="a", level=i % 3)
        for i in range(count)
    ]


def toy_completion(
    verdict: Verdict, *, text: str = "x", num_tokens: int = 1, truncated: bool = False, draw: float = 0.0
) -> Completion:
    """A graded completion that no engine sampled."""
    ids, logprobs = np.zeros(num_tokens, np.int32), np.zeros(num_tokens, np.float32)
    sampled = SampledTokens(ids, logprobs, "length" if truncated else "stop", policy_version=0)
    return Completion(Problem("k", "q", "1"), [0], 0, sampled, text, verdict, draw)


def train_toy(
    config: RLConfig,
    folder: Path,
    *,
    seed: int = 1,
    steps: Sequence[int] = (),
    policy: Any = None,
    **more: Any,
) -> PostTrainResult:
    """`post_train` in the toy world."""
    return post_train(
        config,
        policy=toy_policy() if policy is None else policy,
        tokenizer=ToyTokenizer(),  # type: ignore[arg-type]
        problems=more.pop("problems", toy_problems()),
        grader=more.pop("grader", ToyGrader()),
        folder=folder,
        seed=seed,
        evaluation_steps=steps,
        on_step=more.pop("on_step", lambda step, current: None),
        **more,
    )


def toy_completions(*items: tuple[str, float, int], draw: float = 0.3) -> list[Completion]:
    """One completion per (format, reward, number of tokens); from 10 tokens on it is truncated."""
    return [
        toy_completion(
            Verdict(name, Outcome.correct if paid else Outcome.wrong, None, paid),
            num_tokens=n,
            truncated=n >= 10,
            draw=draw,
        )
        for name, paid, n in items
    ]
