"""Run a study: make the missing stages, gather their results, draw the report."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from echochamber import analysis, report, train, verify
from echochamber.base import (
    EchoError,
    InputError,
    Interrupted,
    RunLock,
    digest,
    explained_disk,
    explained_write,
    read_json,
    say,
    set_aside,
    stop_signals,
    write_json,
)
from echochamber.study.config import StudyConfig
from echochamber.study.driver import Driver
from echochamber.study.executors import Executor, ExecutorOptions, make_executor
from echochamber.study.gather import add_rulings, done, gather
from echochamber.study.make import run_stage
from echochamber.study.plan import Plan, make_plan
from echochamber.study.reading import load_study
from echochamber.study.run_folder import (
    MEASURED,
    REPORT,
    SECOND_OPINION,
    STAMP,
    STUDY,
    SUMMARY,
    clear_way,
    describe,
    digests,
    make_room,
    read_stamp,
    refuse_other_run,
)
from echochamber.study.store import DAMAGED, Store, code_digests
from echochamber.study.torchrun import check_processes, join, letting_others_go
from echochamber.study.tracking import Follower


@dataclass(frozen=True)
class Study:
    """A loaded study with its plan and its place on disk."""

    name: str
    variants: tuple[tuple[str, StudyConfig], ...]
    plan: Plan
    folder: Path
    store: Store

    @property
    def config(self) -> StudyConfig:
        """The config of the first sweep point."""
        return self.variants[0][1]


def open_study(path: Path | str, overrides: Sequence[str] = (), runs: Path | str = "runs") -> Study:
    """Load and plan a study without doing any work.

    Raises:
        InputError: something is wrong with the file, its references or the files it names.
    """
    variants = tuple(load_study(Path(path), overrides))
    name = variants[0][1].study
    folder = Path(runs) / name
    return Study(name, variants, make_plan(variants), folder, Store(folder / "store"))


def run_study(
    study: Study,
    *,
    force: bool = False,
    replace: bool = False,
    only: Sequence[str] | None = None,
    executor: ExecutorOptions | None = None,
    track: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Make every missing stage, gather the results, write the report.

    Under torchrun every process calls this; the main one does all of the work, the others join pretraining
    and post-training and return an empty list.

    Args:
        study: from `open_study`.
        force: first discard the finished and unfinished stages of this plan.
        replace: take over a run folder that shows results of other base models; they are kept under
            `earlier/` in it.
        only: make only stages of these kinds, and neither gather nor report.
        executor: where stages run; in this process by default.
        track: trackers that receive the metrics, in addition to those the study names.

    Returns:
        The rows of `summary.json`.

    Raises:
        EchoError: a stage failed; stages that do not need it are still made.
        InputError: the folder shows another run of that name, or the processes of a torchrun job cannot
            share a batch of the study evenly.
    """
    where, configs = executor or ExecutorOptions(), [config for _, config in study.variants]
    check_processes(configs, where.name)
    if not train.start_world().is_main:
        join(study.plan.stages, lambda stage: run_stage(stage, study.store))
        return []
    with letting_others_go(), _nothing_left_if_refused(study):
        settings = study.config.verify
        if 2 in settings.tiers and not settings.unsafe_unconfined:
            verify.require_confinement()
        place, follower = _prepare(study, where, track)
        with explained_write(study.folder):
            study.store.folder.mkdir(parents=True, exist_ok=True)
        # The executor is entered before our signal handlers are installed, because Ray installs its own.
        with RunLock(study.folder / "lock"), place, stop_signals():
            clear_way(study.folder)
            if only is None:
                make_room(study.folder, study.plan, configs, replace=replace)
            if force:
                follower.forget()
                _forget(study)
            stages = [s for s in study.plan.stages if only is None or s.kind in only]
            driver = Driver(stages, study.store, study.folder, place)
            with follower, _no_stop_flag(study.folder):
                if only is not None:
                    driver.drive()
                    return []
                rows = _make_and_show(study, driver)
                follower.results(rows)
                return rows


def _forget(study: Study) -> None:
    """Discard everything that was made for the stages of this plan."""
    (study.folder / STAMP).unlink(missing_ok=True)
    for stage in study.plan.stages:
        study.store.discard(stage)


def _make_and_show(study: Study, driver: Driver) -> list[dict[str, Any]]:
    """Make the stages, gather, report; returns the rows of `summary.json`."""
    describe(study.folder, study.variants, study.plan)
    with _shown_despite_failures(study):
        driver.drive()
    with explained_disk(study.folder):
        return _show(study)


def check_run(
    study: Study,
    *,
    replace: bool = False,
    executor: ExecutorOptions | None = None,
    track: Sequence[str] = (),
) -> None:
    """Refuse what `run_study` with the same arguments would refuse before any work; changes nothing.

    Only the sandbox is not checked, because a plan is often made on another machine than the run.

    Raises:
        InputError: for the reasons of `run_study`.
    """
    where = executor or ExecutorOptions()
    check_processes([config for _, config in study.variants], where.name)
    _prepare(study, where, track)
    if not replace:
        refuse_other_run(study.folder, study.plan, [config for _, config in study.variants])


def _prepare(study: Study, where: ExecutorOptions, track: Sequence[str]) -> tuple[Executor, Follower]:
    """The executor of the stages and the follower of their metrics; refuses what is not installed."""
    if study.config.modules:
        report.check_drawings()
    place = make_executor(where, study.store, study.folder, study.config.resources, study.config.slurm)
    names = (*study.config.track, *track)
    return place, Follower(study.name, study.plan, study.store, study.folder, names)


@contextmanager
def _nothing_left_if_refused(study: Study) -> Iterator[None]:
    """Context of a run: a study that cannot be used as written leaves nothing behind, not even empty folders.

    Anything that was trained or measured is kept, whatever is wrong with a later stage. Importing a model
    takes little time, so an import alone is not kept.
    """
    new = [path for path in (study.folder, *study.folder.parents) if not path.exists()]
    try:
        yield
    except InputError:
        trained = [stage for stage in study.plan.stages if stage.kind in MEASURED and stage.kind != "import"]
        if all(study.store.state(stage) == "waiting" for stage in trained):
            for path in new:
                if path.is_dir() and (path == study.folder or not any(path.iterdir())):
                    shutil.rmtree(path, ignore_errors=True)
        raise


@contextmanager
def _no_stop_flag(folder: Path) -> Iterator[None]:
    """Context of making stages: removes requests to stop before and after."""
    (folder / "stop").unlink(missing_ok=True)
    try:
        yield
    finally:
        (folder / "stop").unlink(missing_ok=True)


@contextmanager
def _shown_despite_failures(study: Study) -> Iterator[None]:
    """Context of making stages: if some fail, the results of the others are still shown."""
    try:
        yield
    except Interrupted:
        raise
    except EchoError:
        bases = [item.stage for item in study.plan.measured if item.stage.kind == "evaluate"]
        # Without a base model there is nothing to compare with.
        if any(study.store.state(stage) == "done" for stage in bases):
            try:
                with explained_disk(study.folder):
                    _show(study)
            except EchoError as error:
                say(f"no report of the other stages could be made: {error}")
        raise


def _show(study: Study) -> list[dict[str, Any]]:
    """Gather the results and draw the report, unless both already exist, made from the same inputs."""
    folder, stages = study.folder, done(study.plan, study.store)
    made_from = digest(
        {
            "stages": [stage.folder_name for stage in stages],
            "study": (folder / STUDY).read_text(encoding="utf-8"),
            "code": code_digests(showing=True),
        }
    )
    with analysis.showing_lock(folder):
        stamp, found = read_stamp(folder), digests(folder)
    if stamp.get("made_from") == made_from:
        written = stamp.get("files", {})
        changed = sorted(n for n in written.keys() | found.keys() if written.get(n) != found.get(n))
        if not changed:
            rows: list[dict[str, Any]] = read_json(folder / SUMMARY)["rows"]
            say(f"report: {folder / REPORT} (nothing has changed)")
            return rows
        say(f"these files were changed and are made again from the store: {', '.join(changed)}")
        if (
            SECOND_OPINION in changed
            and written.get(SECOND_OPINION)
            and found.get(SECOND_OPINION) is not None
        ):
            # Only `report --as-published` makes it again.
            set_aside(folder / SECOND_OPINION, folder / DAMAGED)
    (folder / STAMP).unlink(missing_ok=True)
    with analysis.showing_lock(folder):
        rows = gather(study.name, study.plan, study.store, folder, study.config.evaluation)
        run = analysis.Run(folder)
        add_rulings(run)
    if study.config.verify.as_published:
        analysis.write_second_opinion(folder, tiers=study.config.verify.tiers)
    say(f"report: {report.render(run)}")
    shown = [s.folder_name for s in stages if s.kind in MEASURED]
    with analysis.showing_lock(folder):
        write_json(folder / STAMP, {"made_from": made_from, "stages": shown, "files": digests(folder)})
    return rows
