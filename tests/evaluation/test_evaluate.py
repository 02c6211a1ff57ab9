from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from echochamber.base import Problem
from echochamber.evaluation import (
    COMPLETION_SCHEMA,
    Cell,
    EvaluationConfig,
    evaluate,
    summarize,
    table_of,
    with_cell,
    write_completions,
)
from echochamber.model import Transformer, build, size_config
from echochamber.rollout import NativeEngine, SampledTokens, Sampling
from echochamber.verify import Grader

TEXTS = (
    "So the answer is \\boxed{7}.",
    "def simple_math_problem():\n    result = 3 + 4\n    return result",
    "def simple_math_problem():\n    result = 3 +",
    "nothing",
    "The total is 8.\n#### 8",
)
PROBLEMS = [Problem(f"p{i}", f"What is 3 + 4, time {i}?", "7", level=1) for i in range(5)]
CELL = Cell("base", "base", "pico", "m", 0, benchmark="test")


class Letters:
    """A tokenizer of single characters."""

    eos_id, pad_id, vocab_size = 0, 1, 128

    def encode_prompts(self, questions: Sequence[str]) -> list[list[int]]:
        return [[ord(c) for c in question.rstrip() + "\n\n"] for question in questions]

    def decode_batch(self, rows: Sequence[Sequence[int]]) -> list[str]:
        return ["".join(chr(i) for i in row if i > 1) for row in rows]


class Script:
    """An engine that writes one of TEXTS, chosen by (seed, prompt, sample) as the contract asks."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def generate(
        self, prompts: Sequence[Sequence[int]], sampling: Sampling, *, num_samples: int, seed: int, step: int,
        prompt_ids: Sequence[int] | None = None,
    ) -> list[list[SampledTokens]]:  # fmt: skip
        assert prompt_ids is not None
        self.calls.append(len(prompts) * num_samples)
        return [
            [
                self._one(0 if sampling.temperature == 0 else seed % 1000 + 7 * p + s)
                for s in range(num_samples)
            ]
            for p in prompt_ids
        ]

    def _one(self, number: int) -> SampledTokens:
        text = TEXTS[number % len(TEXTS)]
        cut = text.endswith("+")
        ids = np.array([ord(c) for c in text] + ([] if cut else [0]), dtype=np.int32)
        return SampledTokens(ids, np.full(len(ids), -0.5, np.float32), "length" if cut else "stop", 0)

    def load_weights(self, model: Transformer, version: int) -> None:
        raise AssertionError("evaluation never changes weights")


@pytest.fixture(scope="module")
def grader() -> Grader:
    with Grader(workers=1) as made:
        yield made


def config(**changes: object) -> EvaluationConfig:
    return EvaluationConfig.model_validate({"benchmarks": ("test",), "num_samples": 3, **changes})


def evaluated(*args: Any, **settings: Any) -> pa.Table:
    return table_of(evaluate(*args, **settings))


def test_rows_hold_what_was_written_and_how_it_was_graded(grader: Grader) -> None:
    table = evaluated(Script(), PROBLEMS, Letters(), grader, config(), benchmark="test", step=4, seed=1)
    assert table.schema.equals(COMPLETION_SCHEMA)
    rows = table.to_pylist()
    assert len(rows) == 5 + 15
    assert [row["greedy"] for row in rows] == [True] * 5 + [False] * 15
    expected = {
        TEXTS[0]: ("boxed", "correct", "7"),
        TEXTS[1]: ("tinygsm", "correct", "7"),
        TEXTS[2]: ("tinygsm", "truncated", None),
        TEXTS[3]: ("none", "no_answer", None),
        TEXTS[4]: ("gsm8k", "wrong", "8"),
    }
    for row in rows:
        assert (row["format"], row["outcome"], row["answer"]) == expected[row["completion"]]
        assert row["reward"] == float(row["outcome"] == "correct")
        assert row["logprob"] == pytest.approx(-0.5 * row["num_tokens"])
        assert row["step"] == 4
    assert {row["completion"] for row in rows} == set(TEXTS)
    sampled = next(row for row in summarize(with_cell(table, CELL), config()) if not row["greedy"])
    paid = sum(row["reward"] for row in rows if not row["greedy"])
    assert sampled["pass_at"]["1"] == pytest.approx(paid / 15)


def test_batches_are_bounded_and_change_nothing(grader: Grader, tmp_path: Path) -> None:
    whole = evaluated(Script(), PROBLEMS, Letters(), grader, config(), benchmark="test", step=0, seed=1)
    engine = Script()
    small = evaluate(
        engine,
        PROBLEMS,
        Letters(),
        grader,
        config(completions_per_batch=6),
        benchmark="test",
        step=0,
        seed=1,
    )
    assert write_completions(tmp_path / "part.parquet", small) == len(whole)
    assert max(engine.calls) <= 6
    again = evaluated(
        Script(),
        PROBLEMS,
        Letters(),
        grader,
        config(completions_per_batch=6),
        benchmark="test",
        step=0,
        seed=1,
    )
    assert again.to_pylist() == whole.to_pylist()


def test_models_and_steps_share_random_numbers_but_benchmarks_and_seeds_do_not(grader: Grader) -> None:
    def texts(benchmark: str = "test", step: int = 0, seed: int = 1) -> list[str]:
        table = evaluated(
            Script(),
            PROBLEMS,
            Letters(),
            grader,
            config(),
            benchmark=benchmark,
            step=step,
            seed=seed,
        )
        return list(table["completion"].to_pylist())

    assert texts() == texts(step=9)
    assert texts() != texts(seed=2) or texts() != texts(seed=3)
    assert texts() != texts(benchmark="other") or texts() != texts(benchmark="third")


def test_num_problems_takes_the_first(grader: Grader) -> None:
    table = evaluated(
        Script(),
        PROBLEMS,
        Letters(),
        grader,
        config(num_problems=2, greedy=False),
        benchmark="test",
        step=0,
        seed=1,
    )
    assert table["problem_id"].unique().to_pylist() == ["p0", "p1"]


def test_with_a_real_model_and_engine(grader: Grader) -> None:
    model = build(size_config("pico", vocab_size=128, context_length=64), seed=0)
    engine = NativeEngine(model, eos_id=0, pad_id=1)
    settings = config(max_new_tokens=8)
    first, second = (
        evaluated(engine, PROBLEMS, Letters(), grader, settings, benchmark="test", step=0, seed=1)
        for _ in range(2)
    )
    assert first.equals(second)
    assert len(first) == 20
    assert max(first["num_tokens"].to_pylist()) <= 8
    assert max(first["logprob"].to_pylist()) < 0
