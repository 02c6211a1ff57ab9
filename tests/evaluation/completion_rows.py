"""A small table of completions, written by hand."""

from __future__ import annotations

import pyarrow as pa

from echochamber.evaluation import RECORD_SCHEMA


def row(problem: str, sample: int, name: str, outcome: str, answer: str | None) -> dict[str, object]:
    return {
        "arm": "base",
        "algorithm": "base",
        "size": "pico",
        "mixture": "m",
        "seed": 0,
        "sweep": "",
        "benchmark": "test",
        "step": 0,
        "problem_id": problem,
        "level": 1,
        "sample": sample,
        "greedy": False,
        "temperature": 1.0,
        "question": "q",
        "gold": "5",
        "completion": "c",
        "format": name,
        "outcome": outcome,
        "answer": answer,
        "reward": float(outcome == "correct"),
        "logprob": -1.0,
        "num_tokens": 10 + sample,
        "finish_reason": "stop",
    }


ROWS = [
    row("a", 0, "boxed", "correct", "5"),
    row("a", 1, "tinygsm", "wrong", "6"),
    row("b", 0, "boxed", "wrong", "4"),
    row("b", 1, "none", "no_answer", None),
]


def table(rows: list[dict[str, object]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=RECORD_SCHEMA)
