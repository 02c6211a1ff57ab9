"""Run a study: make the stages that are missing, then gather, then report."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from echochamber.base import (
    EchoError,
    InputError,
    Interrupted,
    RunLock,
    digest,
    explained_disk,
    explained_write,
    read_json,
    set_aside,
    stop_signals,
    write_file,
    write_json,
)
from echochamber.study.config import StudyConfig, load_study
from echochamber.study.driving import DAMAGED, Driver, Say
from echochamber.study.executing import run_stage
from echochamber.study.executors import Executor, ExecutorOptions, make_executor
from echochamber.study.gather import add_verdicts, done, gather
from echochamber.study.plan import Plan, make_plan
from echochamber.study.ranks import check_processes, follow, leading
from echochamber.study.shown import (
    ENVIRONMENT,
    MEASURED,
    PLAN,
    REPORT,
    SECOND_OPINION,
    STAMP,
    STUDY,
    SUMMARY,
    clear_way,
    digests,
    make_room,
    read_stamp,
    refuse_other_run,
)
from echochamber.study.store import Store, code_digests, environment
from echochamber.study.tracking import Follower
from echochamber.train import start_world
from echochamber.verify import require_confinement


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
        InputError: anything wrong with the file, its references or the files it names.
    """
    variants = tuple(load_study(Path(path), overrides))
    name = variants[0][1].study
    folder = Path(runs) / name
    return Study(name, variants, make_plan(variants), folder, Store(folder / "store"))


def _describe(study: Study) -> None:
    """Make the run folder explain itself: resolved config, plan, versions, commit."""
    write_file(study.folder / STUDY, _resolved_text(study))
    write_json(
        study.folder / PLAN,
        [
            {
                "stage": s.kind,
                "title": s.title,
                "key": s.key,
                "seed": s.seed,
                "folder": f"store/{s.folder_name}",
            }
            for s in study.plan.stages
        ],
    )
    write_json(study.folder / ENVIRONMENT, {**environment(), "commit": _commit(), "host": platform.node()})


def _resolved_text(study: Study) -> str:
    """The resolved study as YAML; one document for each point of a sweep, which says its label."""
    points = [(label, config.model_dump(mode="json", exclude={"sweep"})) for label, config in study.variants]
    documents = [{"sweep": label, **plain} for label, plain in points] if len(points) > 1 else [points[0][1]]
    return "---\n".join(yaml.safe_dump(one, sort_keys=False, allow_unicode=True) for one in documents)


def _commit() -> str | None:
    """The git commit of the code, if it lies in a repository."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40"],
            capture_output=True, text=True, timeout=10, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None


def run_study(
    study: Study,
    *,
    force: bool = False,
    replace: bool = False,
    only: Sequence[str] | None = None,
    say: Say = print,
    executor: ExecutorOptions | None = None,
    track: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Make every missing stage, gather the results, write the report.

    Under torchrun every process calls this; the main one does what is said here, the others take part in
    pretraining and post-training and return nothing.

    Args:
        study: from `open_study`.
        force: forget finished and half-finished stages of this plan first.
        replace: take over a run folder that shows results of other base models; they are kept under
            `earlier/` in it.
        only: make only stages of these kinds, and neither gather nor report.
        say: receives one line for each stage.
        executor: where stages run; in this process by default.
        track: trackers that are sent the metrics, besides those the study names.

    Returns:
        The rows of `summary.json`.

    Raises:
        EchoError: a stage failed; stages that do not need it are made all the same.
        InputError: the folder shows another run of that name, or the processes of a torchrun job cannot
            share a batch of the study evenly.
    """
    where = executor or ExecutorOptions()
    check_processes([config for _, config in study.variants], where)
    if not start_world().is_main:
        follow(study.plan.stages, lambda stage: run_stage(stage, study.store))
        return []
    with leading():
        return _lead(study, where, force, replace, only, say, track)


def check_run(
    study: Study,
    *,
    replace: bool = False,
    executor: ExecutorOptions | None = None,
    track: Sequence[str] = (),
) -> None:
    """Refuse what `run_study` with the same arguments would refuse before any work; changes nothing.

    Only the sandbox is not looked for: a plan is often made on another machine than the run.

    Raises:
        InputError: as `run_study`.
    """
    where = executor or ExecutorOptions()
    check_processes([config for _, config in study.variants], where)
    _prepare(study, where, track, print)
    if not replace:
        refuse_other_run(study.folder, study.plan, [config for _, config in study.variants])


def _prepare(
    study: Study, where: ExecutorOptions, track: Sequence[str], say: Say
) -> tuple[Executor, Follower]:
    """Where stages run and who is sent their metrics; refuses unknown names and missing packages."""
    place = make_executor(where, study.store, study.folder, study.config.resources, study.config.slurm)
    names = (*study.config.track, *track)
    return place, Follower(study.name, study.plan, study.store, study.folder, names, say)


def _lead(
    study: Study,
    where: ExecutorOptions,
    force: bool,
    replace: bool,
    only: Sequence[str] | None,
    say: Say,
    track: Sequence[str],
) -> list[dict[str, Any]]:
    settings = study.config.verify
    if 2 in settings.tiers and not settings.unsafe_unconfined:
        require_confinement()
    place, follower = _prepare(study, where, track, say)
    made = [path for path in (study.folder, *study.folder.parents) if not path.exists()]
    with explained_write(study.folder):
        study.store.folder.mkdir(parents=True, exist_ok=True)
    try:
        # Entered before signals are taken over: Ray installs handlers of its own.
        with RunLock(study.folder / "lock"), place, stop_signals():
            clear_way(study.folder, say)
            if only is None:
                configs = [config for _, config in study.variants]
                make_room(study.folder, study.plan, configs, replace=replace, say=say)
            (study.folder / "stop").unlink(missing_ok=True)
            if force:
                (study.folder / STAMP).unlink(missing_ok=True)
                follower.forget()
                for stage in study.plan.stages:
                    study.store.discard(stage)
            if only is None:
                _describe(study)
            stages = [s for s in study.plan.stages if only is None or s.kind in only]
            with follower:
                try:
                    Driver(stages, study.store, study.folder, place, say).run()
                except Interrupted:
                    raise
                except EchoError:
                    if only is None:
                        _show_what_is_there(study, say)
                    raise
                finally:
                    (study.folder / "stop").unlink(missing_ok=True)
                with explained_disk(study.folder):
                    rows = [] if only is not None else _show(study, say)
                follower.results(rows)
                return rows
    except InputError:
        # A study that cannot be used as written leaves nothing behind, empty folders included; what was
        # trained or measured stays, whatever is wrong with a later stage. A model's import is quickly redone.
        trained = [stage for stage in study.plan.stages if stage.kind in MEASURED and stage.kind != "import"]
        if all(study.store.state(stage) == "waiting" for stage in trained):
            for path in made:
                if path == study.folder or not any(path.iterdir()):
                    shutil.rmtree(path, ignore_errors=True)
        raise


def _show_what_is_there(study: Study, say: Say) -> None:
    """After a failure: results of the stages that are made, if there is a base model to compare with."""
    bases = [item.stage for item in study.plan.measured if item.stage.kind == "evaluate"]
    if all(study.store.state(stage) != "done" for stage in bases):
        return
    try:
        with explained_disk(study.folder):
            _show(study, say)
    except EchoError as error:
        say(f"no report of the other stages: {error}")


def _show(study: Study, say: Say) -> list[dict[str, Any]]:
    """Gather the results and draw the report, unless both stand there already, made from the same things."""
    from echochamber.analysis import showing_lock, write_second_opinion
    from echochamber.report import render

    folder, stages = study.folder, done(study.plan, study.store)
    made_from = digest(
        {
            "stages": [stage.folder_name for stage in stages],
            "study": (folder / STUDY).read_text(encoding="utf-8"),
            "code": code_digests(showing=True),
        }
    )
    with showing_lock(folder):
        stamp, found = read_stamp(folder), digests(folder)
    if stamp.get("made_from") == made_from:
        written = stamp.get("files", {})
        changed = sorted(n for n in written.keys() | found.keys() if written.get(n) != found.get(n))
        if not changed:
            rows: list[dict[str, Any]] = read_json(folder / SUMMARY)["rows"]
            say(f"report: {folder / REPORT} (nothing has changed)")
            return rows
        say(f"changed since they were written, made again from the store: {', '.join(changed)}")
        if (
            SECOND_OPINION in changed
            and written.get(SECOND_OPINION)
            and found.get(SECOND_OPINION) is not None
        ):
            # Nobody but `report --as-published` makes it again.
            set_aside(folder / SECOND_OPINION, folder / DAMAGED)
    (folder / STAMP).unlink(missing_ok=True)
    with showing_lock(folder):
        rows = gather(study.name, study.plan, study.store, folder, study.config.evaluation)
        add_verdicts(folder)
    if study.config.verify.as_published:
        write_second_opinion(folder, tiers=study.config.verify.tiers)
    say(f"report: {render(folder)}")
    shown = [s.folder_name for s in stages if s.kind in MEASURED]
    with showing_lock(folder):
        write_json(folder / STAMP, {"made_from": made_from, "stages": shown, "files": digests(folder)})
    return rows


def redraw(folder: Path, *, as_published: bool = False) -> Path:
    """Draw the report of a run folder again from what it holds; returns the page.

    Args:
        as_published: score it by the paper's released rules first.

    Raises:
        InputError: not a run folder.
        EchoError: its records are damaged, or the folder cannot be written to.
    """
    from echochamber.analysis import showing_lock, write_second_opinion
    from echochamber.report import render

    if as_published:
        write_second_opinion(folder)
    page = render(folder)
    # By turns with other processes that draw it: the digests are those of one drawing.
    with showing_lock(folder):
        if stamp := read_stamp(folder):
            drawn = {
                name: content
                for name, content in digests(folder).items()
                if name in (REPORT, SECOND_OPINION) or name.startswith("figures/")
            }
            write_json(folder / STAMP, {**stamp, "files": {**stamp.get("files", {}), **drawn}})
    return page


def run_folder(text: str, runs: Path = Path("runs")) -> Path:
    """The run folder a user means: a folder, a study's name, or a study file.

    Raises:
        InputError: there is none.
    """
    candidates = [Path(text), runs / text]
    if text.endswith((".yaml", ".yml")) and Path(text).is_file():
        candidates.append(runs / load_study(Path(text))[0][1].study)
    for candidate in candidates:
        if (candidate / SUMMARY).is_file():
            return candidate
    raise InputError(
        f"no finished run found at {text} (looked in {', '.join(map(str, candidates))}); "
        "give a folder under runs/, or make one with: echochamber run STUDY.yaml"
    )
