"""From completions to the rows of `summary.json`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from echochamber.base import EchoError
from echochamber.evaluation.cells import Cell
from echochamber.evaluation.config import EvaluationConfig
from echochamber.evaluation.metrics import Majority, count_votes, maj_at_k, pass_at_k
from echochamber.evaluation.records import CELL_SCHEMA, SUMMARY_COLUMNS

GROUP = (*CELL_SCHEMA.names, "step", "temperature", "greedy")


@dataclass(slots=True)
class _Samples:
    """The samples of one problem."""

    answers: list[str | None] = field(default_factory=list)
    correct: list[bool] = field(default_factory=list)
    formats: list[str] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    num_tokens: int = 0


def summarize(table: pa.Table, config: EvaluationConfig | None = None) -> list[dict[str, Any]]:
    """One row per cell, step and protocol, in order of first appearance.

    `pass_at` and `maj_at` are means over problems; `share` and `accuracy` are
    over completions. Shares cover every known format, `none` and `ambiguous`,
    and sum to 1. The accuracy of a format is the mean reward of the
    completions written in it, None where there are none. Greedy rows hold only
    k = 1.

    Args:
        table: completions with at least SUMMARY_COLUMNS.
        config: gives the k of pass@k and maj@k; without it, 1 and the number of samples.

    Raises:
        EchoError: the problems of one row do not all have the same number of samples.
    """
    return [_row(key, problems, config) for key, problems in group_samples(table)]


def group_samples(table: pa.Table) -> Iterator[tuple[tuple[Any, ...], dict[str, _Samples]]]:
    """Samples by GROUP and then by problem, in order of first appearance."""
    groups: dict[tuple[Any, ...], dict[str, _Samples]] = {}
    for batch in table.select(list(SUMMARY_COLUMNS)).to_batches():
        columns = {name: batch.column(name).to_pylist() for name in SUMMARY_COLUMNS}
        keys = zip(*(columns[name] for name in GROUP), strict=True)
        for i, key in enumerate(keys):
            problems = groups.setdefault(key, defaultdict(_Samples))
            samples = problems[columns["problem_id"][i]]
            samples.answers.append(columns["answer"][i])
            samples.correct.append(columns["outcome"][i] == "correct")
            samples.formats.append(columns["format"][i])
            samples.rewards.append(columns["reward"][i])
            samples.num_tokens += columns["num_tokens"][i]
    yield from groups.items()


def _majority(samples: _Samples, k: int) -> Majority:
    return maj_at_k(count_votes(samples.answers, samples.correct), k)


def _row(
    key: tuple[Any, ...], problems: dict[str, _Samples], config: EvaluationConfig | None
) -> dict[str, Any]:
    named = dict(zip(GROUP, key, strict=True))
    samples = list(problems.values())
    num_samples = len(samples[0].answers)
    if any(len(s.answers) != num_samples for s in samples):
        raise EchoError(
            f"the completions of {Cell.of(named).name} at step {named['step']} on {named['benchmark']} have "
            "different numbers of samples for some problems: rows were lost or written twice"
        )
    ks = (1,) if named["greedy"] else config.ks if config else tuple(sorted({1, num_samples}))
    ks = tuple(k for k in ks if k <= num_samples)
    rewards: dict[str, list[float]] = {label: [] for label in _labels(f for s in samples for f in s.formats)}
    for s in samples:
        for name, reward in zip(s.formats, s.rewards, strict=True):
            rewards[name].append(reward)
    total = len(samples) * num_samples
    return {
        **{name: named[name] for name in (*CELL_SCHEMA.names, "step")},
        "num_problems": len(samples),
        "num_samples": num_samples,
        "temperature": named["temperature"],
        "greedy": named["greedy"],
        "pass_at": {str(k): _mean(pass_at_k(num_samples, sum(s.correct), k) for s in samples) for k in ks},
        "maj_at": {str(k): _mean(_majority(s, k).accuracy for s in samples) for k in ks},
        "share": {name: len(values) / total for name, values in rewards.items()},
        "accuracy": {name: _mean(values) if values else None for name, values in rewards.items()},
        "mean_tokens": sum(s.num_tokens for s in samples) / total,
    }


def _labels(seen: Iterable[str]) -> list[str]:
    """All known labels, then those that only the data has (a format registered for an earlier run)."""
    from echochamber.formats import ALL_LABELS

    return list(dict.fromkeys([*ALL_LABELS(), *sorted(set(seen))]))


def _mean(values: Iterable[float]) -> float:
    """Arithmetic mean of at least one value."""
    kept = list(values)
    return sum(kept) / len(kept)
