"""Sample a model on the problems of a benchmark and grade what it writes, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from echochamber.base import Problem, Progress, derive_seed, progress
from echochamber.evaluation.config import EvaluationConfig
from echochamber.evaluation.records import COMPLETION_SCHEMA
from echochamber.rollout import Completion, Engine, Sampling, grade, sample

if TYPE_CHECKING:
    from echochamber.corpora import Tokenizer
    from echochamber.verify import Grader

Show = Callable[[str, int], AbstractContextManager[Progress]]


def evaluate(
    engine: Engine,
    problems: Sequence[Problem],
    tokenizer: Tokenizer,
    grader: Grader,
    config: EvaluationConfig,
    *,
    benchmark: str,
    step: int,
    seed: int,
    show: Show = progress,
) -> Iterator[pa.RecordBatch]:
    """Yield graded completions: first the greedy ones, then the samples; problem by problem, in order.

    `table_of` collects all of them in memory.

    The random numbers depend on (seed, benchmark, problem, sample), but not on `step` or the arm, so that two
    models are compared on the same draws: their difference is then less noisy than either number, and paired
    tests gain power.

    Args:
        benchmark: name of the problem set, part of the random stream.
        step: RL step that the weights come from, recorded in the rows.
        seed: root seed of the study.
    """
    chosen = list(problems[: config.num_problems])
    protocols: list[tuple[Sampling, int]] = []
    if config.greedy:
        protocols.append((Sampling(temperature=0.0, max_new_tokens=config.max_new_tokens), 1))
    if config.num_samples:
        sampled = Sampling(
            temperature=config.temperature, top_p=config.top_p, max_new_tokens=config.max_new_tokens
        )
        protocols.append((sampled, config.num_samples))
    total = len(chosen) * sum(num_samples for _, num_samples in protocols)
    stream_seed = derive_seed(seed, f"evaluation:{benchmark}")
    done = 0
    with show(f"evaluate step {step} on {benchmark}", total) as bar:
        for sampling, num_samples in protocols:
            per_batch = max(1, config.completions_per_batch // num_samples)
            for start in range(0, len(chosen), per_batch):
                part = chosen[start : start + per_batch]
                groups = sample(
                    part,
                    engine,
                    tokenizer,
                    sampling,
                    num_samples=num_samples,
                    seed=stream_seed,
                    first_prompt_id=start,
                )
                yield _recorded(grade(groups, tokenizer, grader), sampling.temperature, step)
                done += len(part) * num_samples
                bar.update(done)


def table_of(batches: Iterable[pa.RecordBatch]) -> pa.Table:
    """Everything that `evaluate` yields, as one table in memory."""
    return pa.Table.from_batches(list(batches), schema=COMPLETION_SCHEMA)


def _recorded(completions: Sequence[Completion], temperature: float, step: int) -> pa.RecordBatch:
    """Completions laid out by COMPLETION_SCHEMA."""
    num_rows = len(completions)
    columns = {
        "step": [step] * num_rows,
        "problem_id": [item.problem.key for item in completions],
        "level": [item.problem.level for item in completions],
        "sample": [item.sample for item in completions],
        "greedy": [temperature == 0.0] * num_rows,
        "temperature": [temperature] * num_rows,
        "question": [item.problem.question for item in completions],
        "gold": [item.problem.gold for item in completions],
        "completion": [item.text for item in completions],
        "format": [item.verdict.format for item in completions],
        "outcome": [str(item.verdict.outcome) for item in completions],
        "answer": [item.verdict.answer for item in completions],
        "reward": [float(item.verdict.reward) for item in completions],
        "logprob": [float(np.sum(item.sampled.logprobs, dtype=np.float64)) for item in completions],
        "num_tokens": [item.num_tokens for item in completions],
        "finish_reason": [item.sampled.finish_reason for item in completions],
    }
    return pa.RecordBatch.from_pydict(columns, schema=COMPLETION_SCHEMA)
