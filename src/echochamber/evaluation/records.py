"""The table of completions: its columns, and how it is written batch by batch."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from echochamber.base import explained_write, fault_point
from echochamber.evaluation.cells import SCHEMA, Cell

COMPLETION_SCHEMA = pa.schema(
    [
        pa.field("step", pa.int64(), nullable=False),
        pa.field("problem_id", pa.string(), nullable=False),
        pa.field("level", pa.int64(), nullable=False),
        pa.field("sample", pa.int64(), nullable=False),
        pa.field("greedy", pa.bool_(), nullable=False),
        pa.field("temperature", pa.float64(), nullable=False),
        pa.field("question", pa.string(), nullable=False),
        pa.field("gold", pa.string(), nullable=False),
        pa.field("completion", pa.string(), nullable=False),
        pa.field("format", pa.string(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("answer", pa.string()),
        pa.field("reward", pa.float64(), nullable=False),
        pa.field("logprob", pa.float64(), nullable=False),
        pa.field("num_tokens", pa.int64(), nullable=False),
        pa.field("finish_reason", pa.string(), nullable=False),
    ]
)
"""What a stage writes: one row per completion, without the columns of the cell that it belongs to.

`logprob` is in nats, summed over the completion's tokens, under the distribution they were sampled from;
greedy rows hold it at temperature 1. `num_tokens` counts the end-of-text token.
"""

CELL_SCHEMA = pa.schema(
    [
        pa.field("arm", pa.string(), nullable=False),
        pa.field("algorithm", pa.string(), nullable=False),
        pa.field("size", pa.string(), nullable=False),
        pa.field("mixture", pa.string(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("sweep", pa.string(), nullable=False),
        pa.field("benchmark", pa.string(), nullable=False),
    ]
)
RECORD_SCHEMA = pa.schema([*CELL_SCHEMA, *COMPLETION_SCHEMA], metadata={"echochamber.schema": str(SCHEMA)})
"""What a run folder shows: the columns of the cell, then those of the completion."""

SUMMARY_COLUMNS = (
    *CELL_SCHEMA.names, "step", "problem_id", "sample", "greedy", "temperature",
    "format", "outcome", "answer", "reward", "num_tokens",
)  # fmt: skip
"""What `summarize` reads, without the texts, which are most of the bytes."""


def with_cell(table: pa.Table, cell: Cell) -> pa.Table:
    """Completions of one stage and benchmark in RECORD_SCHEMA, with the columns of their cell in front.

    Args:
        cell: with its seed and benchmark.
    """
    columns = [
        pa.array([getattr(cell, field.name)] * table.num_rows, type=field.type) for field in CELL_SCHEMA
    ]
    return pa.Table.from_arrays(
        [*columns, *table.select(COMPLETION_SCHEMA.names).columns], schema=RECORD_SCHEMA
    )


def write_completions(
    path: Path, batches: Iterable[pa.RecordBatch], schema: pa.Schema = COMPLETION_SCHEMA
) -> int:
    """Write batches of completions to one Parquet file, atomically and durably; returns the number of rows.

    Each batch is written as it arrives, so only one batch is in memory. Equal
    batches give equal bytes.

    Raises:
        EchoError: the file could not be written; `path` is unchanged.
    """
    temporary = path.with_name(path.name + ".tmp")
    num_rows = 0
    with explained_write(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
                for batch in batches:
                    writer.write_batch(batch)
                    num_rows += batch.num_rows
                    fault_point("completions.mid_write")
            stream.flush()
            os.fsync(stream.fileno())
        fault_point("completions.before_rename")
        temporary.replace(path)
        fault_point("completions.after_rename")
    return num_rows
