"""Finished runs in Python: summaries, completions and metrics as data frames, for one run or several."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from echochamber import analysis
from echochamber.base import EchoError, InputError, read_json
from echochamber.study.executors import ExecutorOptions
from echochamber.study.run import open_study, run_study
from echochamber.study.run_folder import REPORT, SUMMARY, find_run

if TYPE_CHECKING:
    import pandas as pd


class Result:
    """The contents of a run folder.

    Args:
        folder: e.g. `runs/demo`; `echochamber.load` also takes a study's name.

    Raises:
        InputError: the folder holds no finished run, or one whose records have another schema.
        EchoError: its summary is damaged.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        if not (self.folder / SUMMARY).is_file():
            reason = f"it has no {SUMMARY}" if self.folder.is_dir() else "there is no such folder"
            raise InputError(
                f"{self.folder} is not a finished run: {reason}; make one with: echochamber run STUDY.yaml"
            )
        try:
            found = read_json(self.folder / SUMMARY)
            self.name: str = found["study"]
            self.rows: list[dict[str, Any]] = found["rows"]
        except (EchoError, KeyError, TypeError) as error:
            raise _damaged(self.folder / SUMMARY) from error
        analysis.refuse_other_schema(self.folder, found)

    def summary(self) -> pd.DataFrame:
        """One row per arm, size, mixture, seed, step, benchmark and sampling protocol.

        Nested values become columns such as `share.boxed`, `accuracy.boxed` and `pass_at.1`.
        """
        import pandas as pd

        return pd.json_normalize(self.rows)

    def completions(self) -> pd.DataFrame:
        """One row per completion of every evaluation.

        Raises:
            EchoError: the files are missing or damaged.
        """
        import duckdb

        parts = sorted(str(path) for path in (self.folder / "completions").glob("*.parquet"))
        if not parts:
            raise _damaged(self.folder / "completions")
        try:
            frame: pd.DataFrame = duckdb.read_parquet(parts).df()
        except duckdb.Error as error:
            raise _damaged(self.folder / "completions") from error
        return frame

    def metrics(self) -> pd.DataFrame:
        """One row per recorded training step of pretraining and post-training.

        Raises:
            EchoError: the file is missing or damaged.
        """
        import pandas as pd

        path = self.folder / "metrics.jsonl"
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
            return pd.json_normalize([json.loads(line) for line in lines])
        except (OSError, ValueError) as error:
            raise _damaged(path) from error

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.folder / REPORT

    def __repr__(self) -> str:
        arms = list(dict.fromkeys(row["arm"] for row in self.rows))
        seeds = sorted({row["seed"] for row in self.rows})
        return f"<Result of {self.folder}: arms {', '.join(arms)}; seeds {', '.join(map(str, seeds))}>"


class Results:
    """Several runs side by side: the tables of `Result`, with a first column `run` that names the run.

    Args:
        runs: at least one run; named by folder name, or by full path if two folders have the same name.
    """

    def __init__(self, runs: Sequence[Result]) -> None:
        names = [run.folder.name for run in runs]
        whole = len(set(names)) < len(names)
        self.runs = {str(run.folder) if whole else run.folder.name: run for run in runs}

    def __getitem__(self, name: str) -> Result:
        return self.runs[name]

    def summary(self) -> pd.DataFrame:
        """The rows of every run's `Result.summary`."""
        return self._stacked(Result.summary)

    def completions(self) -> pd.DataFrame:
        """The rows of every run's `Result.completions`."""
        return self._stacked(Result.completions)

    def metrics(self) -> pd.DataFrame:
        """The rows of every run's `Result.metrics`."""
        return self._stacked(Result.metrics)

    def _stacked(self, table: Callable[[Result], pd.DataFrame]) -> pd.DataFrame:
        import pandas as pd

        frames = {name: table(run) for name, run in self.runs.items()}
        for name, frame in frames.items():
            frame.insert(0, "run", name)
        return pd.concat(frames.values(), ignore_index=True)

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {run!r}" for name, run in self.runs.items())


def _damaged(path: Path) -> EchoError:
    return EchoError(f"{path} is missing or damaged; run the study again to restore it")


@overload
def load(run: Path | str, /, *, runs: Path | str = ...) -> Result: ...


@overload
def load(run: list[Any] | tuple[Any, ...], /, *, runs: Path | str = ...) -> Results: ...


@overload
def load(run: Path | str, other: Path | str, /, *more: Path | str, runs: Path | str = ...) -> Results: ...


def load(
    run: Path | str | list[Any] | tuple[Any, ...], /, *more: Path | str, runs: Path | str = "runs"
) -> Result | Results:
    """Open finished runs: one as a `Result`, several (or a list of them) as `Results`.

    Args:
        run: a run folder (`"runs/demo"`), a study's name (`"demo"`) or its file.
        more: further runs.
        runs: folder in which names are looked up.

    Raises:
        InputError: there is no such finished run.
        EchoError: a summary is damaged.
    """
    if isinstance(run, Path | str) and not more:
        return Result(find_run(str(run), Path(runs)))
    wanted = [run] if isinstance(run, Path | str) else list(run)
    found = [Result(find_run(str(one), Path(runs))) for one in (*wanted, *more)]
    if not found:
        raise InputError("load([]): expected at least one run")
    return Results(found)


def run(
    study: Path | str,
    *,
    set: Sequence[str] = (),
    runs: Path | str = "runs",
    force: bool = False,
    replace: bool = False,
    executor: str = "local",
) -> Result:
    """Run a study file as `echochamber run` does.

    Messages go to the terminal; `echochamber.base.listening` passes them to a function instead.

    Args:
        study: path of the YAML file.
        set: overrides such as `["seed=7"]`.
        runs: folder that holds the run folders.
        force: start over instead of continuing.
        replace: take over a run folder that shows the results of other base models.
        executor: `local`, `ray` or `slurm`.

    Returns:
        The run's tables.

    Raises:
        InputError: the study cannot be used as written, or its folder shows another run.
        EchoError: a stage failed; finished stages are kept.
    """
    opened = open_study(study, set, runs)
    run_study(opened, force=force, replace=replace, executor=ExecutorOptions(executor))
    return Result(opened.folder)
