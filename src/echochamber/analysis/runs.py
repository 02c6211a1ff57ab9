"""Open a run folder and query what it recorded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from echochamber.analysis.recorded import RecordedArm, RecordedStudy, arm_of, read_points
from echochamber.base import EchoError, InputError, RunLock, read_json
from echochamber.evaluation import SCHEMA, Cell

if TYPE_CHECKING:
    import duckdb


STUDY = "study.yaml"
WHERE_CELL = (
    "arm = $arm AND size = $size AND mixture = $mixture AND sweep = $sweep AND benchmark = $benchmark"
)
"""Picks the completions of a cell, over seeds, in SQL; `of_cell` gives its parameters."""


def showing_lock(folder: Path) -> RunLock:
    """Lock for writing what a run folder shows (tables, report, second opinion); a second writer waits."""
    return RunLock(folder / "report.lock", what=f"the report of {folder}", wait=True)


def refuse_other_schema(folder: Path, summary: Mapping[str, Any]) -> None:
    """Refuse the records of another schema version; records that state none have schema 1.

    Raises:
        InputError: the versions differ; the message says what can be done.
    """
    if (found := summary.get("schema", 1)) != SCHEMA:
        raise InputError(
            f"{folder} holds records of schema {found}, and this version of echochamber reads schema "
            f"{SCHEMA}: run the study again, or read the folder with the version that wrote it"
        )


class Run:
    """The files of one run folder, read on demand and never written.

    Args:
        folder: `runs/<study>`; it must hold `summary.json`.

    Raises:
        InputError: not a run folder, or one whose study has not finished a stage yet.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.memo: dict[tuple[Any, ...], Any] = {}
        """Results that are computed once because several tables of a report need them."""
        if not (folder / "summary.json").is_file():
            reason = "it has no summary.json" if folder.is_dir() else "no such folder"
            raise InputError(f"{folder} is not a finished run: {reason}. Run the study first")
        refuse_other_schema(folder, self.summary)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """`summary.json`: schema, study, questions, rows, seconds, endpoints, findings."""
        summary: dict[str, Any] = read_json(self.folder / "summary.json")
        return summary

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of `summary.json`."""
        rows: list[dict[str, Any]] = self.summary["rows"]
        return rows

    @cached_property
    def points(self) -> tuple[RecordedStudy, ...]:
        """The resolved study at each point of its sweep; a single one without a sweep."""
        return read_points(self.folder / STUDY)

    @property
    def study(self) -> RecordedStudy:
        """The resolved study; in a sweep, the one at the first point."""
        return self.points[0]

    @property
    def study_text(self) -> str:
        """The text of the resolved study's file."""
        return (self.folder / STUDY).read_text(encoding="utf-8")

    def arm(self, cell: Cell) -> RecordedArm:
        """What the study says about the arm of a cell.

        Raises:
            EchoError: the study names no such arm.
        """
        found = arm_of(self.points, cell)
        if found is None:
            raise EchoError(
                f"{self.folder / STUDY} names no arm '{cell.name}', but the records do; run the study again"
            )
        return found

    @cached_property
    def cells(self) -> list[tuple[Cell, bool]]:
        """The cells that were measured, over seeds, and whether greedily, in order of first appearance."""
        return list(dict.fromkeys((Cell.of(row).over_seeds(), row["greedy"]) for row in self.rows))

    @cached_property
    def benchmarks(self) -> list[str]:
        """The benchmarks that were measured, in the study's order; headlines are about the first."""
        stated = [name for point in self.points for name in point.evaluation.benchmarks]
        measured = [row["benchmark"] for row in self.rows]
        return [name for name in dict.fromkeys([*stated, *measured]) if name in set(measured)]

    @cached_property
    def environment(self) -> dict[str, Any]:
        """`environment.json`, empty if the folder has none."""
        path = self.folder / "environment.json"
        return dict(read_json(path)) if path.is_file() else {}

    @cached_property
    def metrics(self) -> list[dict[str, Any]]:
        """Every row of `metrics.jsonl`, in order."""
        return _read_lines(self.folder / "metrics.jsonl")

    @cached_property
    def timing(self) -> list[dict[str, Any]]:
        """Every row of `timing.jsonl`, in order; empty if the folder has none."""
        return _read_lines(self.folder / "timing.jsonl")

    @cached_property
    def alarms(self) -> list[dict[str, Any]]:
        """Every row of `alarms.jsonl`: what went wrong during training; empty if the folder has none."""
        return _read_lines(self.folder / "alarms.jsonl")

    @cached_property
    def format_probabilities(self) -> list[dict[str, Any]]:
        """Every row of `format_probabilities.jsonl`: teacher-forced formats; empty if the folder has none."""
        return _read_lines(self.folder / "format_probabilities.jsonl")

    @cached_property
    def second_opinion(self) -> dict[str, Any]:
        """`second_opinion.json`: scores by the paper's released rules; empty if they were not computed."""
        path = self.folder / "second_opinion.json"
        return dict(read_json(path)) if path.is_file() else {}

    @property
    def parts(self) -> list[Path]:
        """The Parquet parts that hold the completions."""
        return sorted((self.folder / "completions").glob("part-*.parquet"))

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        """Run SQL (DuckDB) over the completions, a view named `completions`; `$name` refers to `parameters`.

        Raises:
            EchoError: the completions are missing or damaged.
        """
        import duckdb

        try:
            return self._connection.sql(sql, params=dict(parameters or {})).to_arrow_table()
        except (duckdb.IOException, duckdb.InvalidInputException) as error:
            raise EchoError(f"the completions of {self.folder} are damaged: {error}") from error

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        """A database in memory whose view `completions` reads the Parquet parts."""
        import duckdb

        if not self.parts:
            raise EchoError(f"{self.folder / 'completions'} holds no completions; run the study again")
        connection = duckdb.connect()
        connection.execute("SET threads TO 2")
        connection.execute("SET parquet_metadata_cache = true")
        listed = ", ".join("'" + str(part).replace("'", "''") + "'" for part in self.parts)
        try:
            # `file_row_number` keeps the order in which completions were written reproducible.
            connection.execute(
                f"CREATE VIEW completions AS SELECT * FROM "
                f"read_parquet([{listed}], file_row_number = true, filename = true)"
            )
        except (duckdb.IOException, duckdb.InvalidInputException) as error:
            raise EchoError(f"the completions of {self.folder} are damaged: {error}") from error
        return connection


def _read_lines(path: Path) -> list[dict[str, Any]]:
    """Rows of a JSON lines file, empty if there is none.

    Raises:
        EchoError: a line is not JSON.
    """
    if not path.is_file():
        return []
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise EchoError(f"{path}:{number} is damaged: {error}") from error
    return rows


def of_cell(cell: Cell) -> dict[str, Any]:
    """The parameters of `WHERE_CELL`."""
    return {name: getattr(cell, name) for name in ("arm", "size", "mixture", "sweep", "benchmark")}
