"""Tables of completions: what a stage writes, and what a run folder shows."""

from pathlib import Path

import pyarrow.parquet as pq
from completion_rows import ROWS, table

from echochamber.evaluation import (
    COMPLETION_SCHEMA,
    RECORD_SCHEMA,
    SCHEMA,
    Cell,
    with_cell,
    write_completions,
)


def test_parquet_round_trip_is_streamed_and_repeatable(tmp_path: Path) -> None:
    batches = table(ROWS).to_batches(max_chunksize=1)
    assert write_completions(tmp_path / "a.parquet", iter(batches), RECORD_SCHEMA) == 4
    write_completions(tmp_path / "b.parquet", iter(batches), RECORD_SCHEMA)
    assert pq.read_table(tmp_path / "a.parquet").equals(table(ROWS))
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
