"""Tables of completions: what a stage writes, and what a run folder shows."""

from pathlib import Path

import pyarrow as pa
import pytest

from echochamber.base import EchoError
from echochamber.evaluation import (
    COMPLETION_SCHEMA,
    RECORD_SCHEMA,
    SCHEMA,
    Cell,
    read_completions,
    with_cell,
    write_completions,
)


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


def test_parquet_round_trip_is_streamed_and_repeatable(tmp_path: Path) -> None:
    batches = table(ROWS).to_batches(max_chunksize=1)
    assert write_completions(tmp_path / "a.parquet", iter(batches), RECORD_SCHEMA) == 4
    write_completions(tmp_path / "b.parquet", iter(batches), RECORD_SCHEMA)
    assert read_completions(tmp_path / "a.parquet").equals(table(ROWS))
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.parquet", "b.parquet"]


def test_the_columns_of_the_cell_come_first() -> None:
    cell = Cell("grpo", "grpo", "pico", "m", 3, "kl=0.1", "test")
    written = table(ROWS).select(COMPLETION_SCHEMA.names)
    found = with_cell(written, cell)
    assert found.schema.equals(RECORD_SCHEMA, check_metadata=True)
    assert found.schema.metadata == {b"echochamber.schema": str(SCHEMA).encode()}
    assert found.column_names[:8] == [*cell.columns, "step"]
    assert {Cell.of(row) for row in found.to_pylist()} == {cell}
    assert found.select(COMPLETION_SCHEMA.names).to_pylist() == written.to_pylist()


def test_damaged_parquet_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(EchoError, match=r"a\.parquet is damaged"):
        read_completions(tmp_path / "a.parquet")
    with pytest.raises(EchoError, match=r"b\.parquet is missing"):
        read_completions(tmp_path / "b.parquet")
