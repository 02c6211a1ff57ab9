"""A finished run in Python: summaries, completions and metrics as data frames."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from echochamber.base import read_json
from echochamber.study.driving import Say
from echochamber.study.executors import ExecutorOptions
from echochamber.study.runner import open_study, run_study

if TYPE_CHECKING:
    import pandas as pd


class Result:
    """What a run folder holds.

    Args:
        folder: `runs/<study>`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: list[dict[str, Any]] = read_json(folder / "summary.json")["rows"]

    def summary(self) -> pd.DataFrame:
        """One row for each arm, size, mixture, seed, step, benchmark and way of sampling.

        Nested values become columns such as `share.boxed`, `accuracy.boxed` and `pass_at.1`.
        """
        import pandas as pd

        return pd.json_normalize(self.rows)

    def completions(self) -> pd.DataFrame:
        """One row for each completion of every evaluation."""
        import duckdb

        frame: pd.DataFrame = duckdb.read_parquet(str(self.folder / "completions" / "*.parquet")).df()
        return frame

    def metrics(self) -> pd.DataFrame:
        """One row for each recorded training step of pretraining and post-training."""
        import pandas as pd

        lines = (self.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        return pd.json_normalize([json.loads(line) for line in lines])

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.folder / "report.html"

    def __repr__(self) -> str:
        return f"Result({str(self.folder)!r}, {len(self.rows)} rows)"


def run(
    study: Path | str,
    *,
    set: Sequence[str] = (),
    runs: Path | str = "runs",
    force: bool = False,
    say: Say = print,
    executor: str = "local",
) -> Result:
    """Run a study file as `echochamber run` does.

    Args:
        study: path of the YAML file.
        set: overrides such as `["seed=7"]`.
        runs: folder that holds the run folders.
        force: start over instead of continuing.
        say: receives one line for each stage.
        executor: `local`, `ray` or `slurm`.

    Returns:
        The run's tables.

    Raises:
        InputError: the study cannot be used as written.
        EchoError: a stage failed; finished stages are kept.
    """
    opened = open_study(study, set, runs)
    run_study(opened, force=force, say=say, executor=ExecutorOptions(executor))
    return Result(opened.folder)
