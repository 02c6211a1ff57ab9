"""Sample a model on the problems of a benchmark and grade what it writes, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from echochamber.base import Problem, Progress, derive_seed, progress
from echochamber.evaluation.config import EvaluationConfig, Labels
from echochamber.evaluation.records import COMPLETION_SCHEMA

if TYPE_CHECKING:
    from echochamber.corpora import Tokenizer
    from echochamber.rollout import Completion, Engine
    from echochamber.verify import Grader, Verdict

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
    labels: Labels,
    show: Show = progress,
) -> pa.Table:
    """Evaluate and hold all completions in memory; see `evaluate_batches` to stream them."""
    batches = evaluate_batches(
        engine,
        problems,
        tokenizer,
        grader,
        config,
        benchmark=benchmark,
        step=step,
        seed=seed,
        labels=labels,
        show=show,
    )
    return pa.Table.from_batches(list(batches), schema=COMPLETION_SCHEMA)


def evaluate_batches(
    engine: Engine,
    problems: Sequence[Problem],
    tokenizer: Tokenizer,
    grader: Grader,
    config: EvaluationConfig,
    *,
    benchmark: str,
    step: int,
    seed: int,
    labels: Labels,
    show: Show = progress,
) -> Iterator[pa.RecordBatch]:
    """Yield graded completions: first the greedy ones, then the samples; problem by problem, in order.

    The random numbers depend on (seed, benchmark, problem, sample) but not on
    `step` nor on the arm, so that two models are compared on the same draws:
    a difference between them is then less noisy than either number, and paired
    tests gain power.

    Args:
        benchmark: name of the task, recorded in the rows and part of the random stream.
        step: RL step the weights come from, recorded in the rows.
        seed: root seed of the study.
    """
    from echochamber.rollout import Sampling

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
    with show(f"evaluate {labels.arm} step {step} on {benchmark}", total) as bar:
        for sampling, num_samples in protocols:
            per_batch = max(1, config.completions_per_batch // num_samples)
            for start in range(0, len(chosen), per_batch):
                part = chosen[start : start + per_batch]
                prompts = [tokenizer.encode_prompt(problem.question) for problem in part]
                groups = engine.generate(
                    prompts,
                    sampling,
                    num_samples=num_samples,
                    seed=stream_seed,
                    step=0,
                    prompt_ids=range(start, start + len(part)),
                )
                yield _graded(part, groups, tokenizer, grader, sampling.temperature, benchmark, step, labels)
                done += len(part) * num_samples
                bar.update(done)


def _graded(
    problems: Sequence[Problem],
    groups: Sequence[Sequence[Completion]],
    tokenizer: Tokenizer,
    grader: Grader,
    temperature: float,
    benchmark: str,
    step: int,
    labels: Labels,
) -> pa.RecordBatch:
    """Grade the completions of some problems and lay them out by COMPLETION_SCHEMA."""
    rows = [(p, i, c) for p, group in zip(problems, groups, strict=True) for i, c in enumerate(group)]
    texts = tokenizer.decode_batch([completion.token_ids.tolist() for _, _, completion in rows])
    verdicts = _verdicts(rows, texts, grader)
    num_rows = len(rows)
    columns = {
        "arm": [labels.arm] * num_rows,
        "size": [labels.size] * num_rows,
        "mixture": [labels.mixture] * num_rows,
        "seed": [labels.seed] * num_rows,
        "step": [step] * num_rows,
        "benchmark": [benchmark] * num_rows,
        "problem_id": [problem.key for problem, _, _ in rows],
        "level": [problem.level for problem, _, _ in rows],
        "sample": [index for _, index, _ in rows],
        "greedy": [temperature == 0.0] * num_rows,
        "temperature": [temperature] * num_rows,
        "question": [problem.question for problem, _, _ in rows],
        "gold": [problem.gold for problem, _, _ in rows],
        "completion": texts,
        "format": [verdict.format for verdict in verdicts],
        "outcome": [str(verdict.outcome) for verdict in verdicts],
        "answer": [verdict.answer for verdict in verdicts],
        "reward": [float(verdict.reward) for verdict in verdicts],
        "logprob": [float(np.sum(completion.logprobs, dtype=np.float64)) for _, _, completion in rows],
        "num_tokens": [len(completion.token_ids) for _, _, completion in rows],
        "finish_reason": [completion.finish_reason for _, _, completion in rows],
    }
    return pa.RecordBatch.from_pydict(columns, schema=COMPLETION_SCHEMA)


def _verdicts(
    rows: Sequence[tuple[Problem, int, Completion]], texts: Sequence[str], grader: Grader
) -> list[Verdict]:
    """Grade by each problem's own rules, in the order of `rows`."""
    verdicts: dict[int, Verdict] = {}
    for rules in dict.fromkeys(problem.rules for problem, _, _ in rows):
        places = [i for i, (problem, _, _) in enumerate(rows) if problem.rules == rules]
        graded = grader.grade(
            [texts[i] for i in places],
            [rows[i][0].gold for i in places],
            rules=rules,
            truncated=[rows[i][2].finish_reason == "length" for i in places],
        )
        verdicts.update(zip(places, graded, strict=True))
    return [verdicts[i] for i in range(len(rows))]
