"""Asking: who gets which random numbers, by which rules each answer is graded, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from echochamber.base import Problem
from echochamber.rollout import SampledTokens, Sampling, grade, sample
from echochamber.verify import Outcome, Verdict

# Rules alternate, so that grading by rules must put everything back in its place.
PROBLEMS = [
    Problem(f"p{i}", "ab"[: 1 + i % 2], f"gold {i}", rules=rules)
    for i, rules in enumerate(["math", "gsm8k", "math"])
]
SAMPLING = Sampling(max_new_tokens=4)


class Letters:
    """A tokenizer of single characters."""

    def encode_prompts(self, questions: Sequence[str]) -> list[list[int]]:
        return [[ord(letter) for letter in question] for question in questions]

    def decode_batch(self, rows: Sequence[Sequence[int]]) -> list[str]:
        return ["".join(chr(i) for i in row) for row in rows]


class Echo:
    """Answers with the prompt id and the sample number; odd samples are cut off."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def generate(
        self, prompts: Sequence[Sequence[int]], sampling: Sampling, **more: Any
    ) -> list[list[SampledTokens]]:
        self.asked.append({"prompts": prompts, "sampling": sampling, **more})
        return [
            [self._one(f"{prompt_id}/{number}", number) for number in range(more["num_samples"])]
            for prompt_id in more["prompt_ids"]
        ]

    def _one(self, text: str, number: int) -> SampledTokens:
        ids = np.array([ord(letter) for letter in text], np.int32)
        return SampledTokens(ids, np.full(len(ids), -0.5, np.float32), "length" if number % 2 else "stop", 7)


class Noting:
    """A grader that records its arguments and puts them into the verdict."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[str]]] = []

    def grade(
        self, completions: Sequence[str], golds: Sequence[str], *, rules: str, truncated: Sequence[bool]
    ) -> list[Verdict]:
        self.calls.append((rules, list(completions)))
        return [
            Verdict(
                rules, Outcome.truncated if cut else Outcome.correct, f"{text} for {gold}", float(not cut)
            )
            for text, gold, cut in zip(completions, golds, truncated, strict=True)
        ]


def _ask(engine: Any, grader: Any, **more: Any) -> Any:
    tokenizer: Any = Letters()
    groups = sample(PROBLEMS, engine, tokenizer, SAMPLING, num_samples=2, seed=5, **more)
    return grade(groups, tokenizer, grader)


def test_each_answer_is_graded_by_its_problems_rules_and_comes_back_in_order() -> None:
    grader = Noting()
    completions = _ask(Echo(), grader)
    assert grader.calls == [("math", ["0/0", "0/1", "2/0", "2/1"]), ("gsm8k", ["1/0", "1/1"])]
    assert [(item.problem.key, item.sample, item.text) for item in completions] == [
        ("p0", 0, "0/0"), ("p0", 1, "0/1"),
        ("p1", 0, "1/0"), ("p1", 1, "1/1"),
        ("p2", 0, "2/0"), ("p2", 1, "2/1"),
    ]  # fmt: skip
    for item in completions:
        assert item.verdict.answer == f"{item.text} for {item.problem.gold}"
        assert item.verdict.format == item.problem.rules
        assert item.prompt == [ord(letter) for letter in item.problem.question]
        assert item.truncated == (item.sample == 1) == (item.verdict.outcome == Outcome.truncated)
        assert (item.num_tokens, item.sampled.policy_version, item.draw) == (3, 7, 0.0)


def test_the_engine_is_told_which_random_numbers_to_use() -> None:
    engine = Echo()
    _ask(engine, Noting(), step=3, first_prompt_id=40)
    (asked,) = engine.asked
    assert asked["prompts"] == [[97], [97, 98], [97]]
    assert (asked["seed"], asked["step"], list(asked["prompt_ids"])) == (5, 3, [40, 41, 42])
    assert asked["sampling"] is SAMPLING


def test_parts_asked_apart_are_the_whole() -> None:
    """As several processes do, or an evaluation in batches."""
    tokenizer: Any = Letters()
    engine: Any = Echo()
    grader: Any = Noting()
    draws = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    parts = []
    for start, stop in ((0, 2), (2, 3)):
        groups = sample(
            PROBLEMS[start:stop], engine, tokenizer, SAMPLING, num_samples=2, seed=5, first_prompt_id=start
        )
        parts += grade(groups, tokenizer, grader, draws=draws[2 * start : 2 * stop])
    assert [item.draw for item in parts] == draws
    whole = _ask(engine, grader)
    assert [(item.text, item.verdict) for item in parts] == [(item.text, item.verdict) for item in whole]


def test_nothing_asked_is_nothing_answered() -> None:
    tokenizer: Any = Letters()
    grader: Any = Noting()
    assert grade([], tokenizer, grader) == []
