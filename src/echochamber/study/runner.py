"""Run a study: make the stages that are missing, then gather, then report."""

from __future__ import annotations

import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from echochamber.base import (
    InputError,
    Interrupted,
    RunLock,
    digest,
    explained_write,
    read_json,
    stop_requested,
    stop_signals,
    write_file,
    write_json,
)
from echochamber.study.config import StudyConfig, load_study
from echochamber.study.gather import gather, read_seconds
from echochamber.study.modules import import_modules
from echochamber.study.plan import Plan, make_plan
from echochamber.study.stages import STAGES, StageContext
from echochamber.study.store import Stage, Store, code_digests, environment
from echochamber.verify import require_confinement

Say = Callable[[str], None]


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


def execute_stage(stage: Stage, store: Store) -> float:
    """Make one stage in this process and return the compute seconds it took, over all its runs.

    Raises:
        InputError: the stage found the user's input unusable; it leaves nothing unless it had got somewhere.
    """
    begun_here = not store.partial(stage).exists()
    folder = store.begin(stage)
    if store.complete(stage):
        store.promote(stage)
        return read_seconds(store.path(stage))
    clock = folder / "seconds.json"
    before = float(read_json(clock)["seconds"]) if clock.exists() else 0.0
    start = time.monotonic()
    import_modules(stage.modules)
    context = StageContext(
        config=stage.config,
        inputs={name: store.path(other) for name, other in stage.inputs.items()},
        folder=folder,
        seed=stage.seed,
    )
    try:
        STAGES[stage.kind].run(context)
    except InputError:
        if begun_here and not (folder / "checkpoints").exists():
            store.discard(stage)
        raise
    except BaseException:
        if folder.is_dir():
            write_json(clock, {"seconds": before + time.monotonic() - start})
        raise
    seconds = round(before + time.monotonic() - start, 3)
    write_json(clock, {"seconds": seconds})
    store.finish(stage)
    return seconds


def _describe(study: Study) -> None:
    """Make the run folder explain itself: resolved config, plan, versions, commit."""
    resolved = [{"sweep": label, **config.model_dump(mode="json")} for label, config in study.variants]
    text = "---\n".join(yaml.safe_dump(item, sort_keys=False, allow_unicode=True) for item in resolved)
    write_file(study.folder / "study.yaml", text if len(resolved) > 1 else _without_sweep(resolved[0]))
    write_json(
        study.folder / "plan.json",
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
    write_json(
        study.folder / "environment.json", {**environment(), "commit": _commit(), "host": platform.node()}
    )


def _without_sweep(resolved: dict[str, Any]) -> str:
    return yaml.safe_dump(
        {k: v for k, v in resolved.items() if k != "sweep"}, sort_keys=False, allow_unicode=True
    )


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
    study: Study, *, force: bool = False, only: Sequence[str] | None = None, say: Say = print
) -> list[dict[str, Any]]:
    """Make every missing stage, gather the results, write the report.

    Args:
        study: from `open_study`.
        force: forget finished and half-finished stages of this plan first.
        only: make only stages of these kinds, and neither gather nor report.
        say: receives one line for each stage.

    Returns:
        The rows of `summary.json`.

    Raises:
        EchoError: a stage failed; finished stages are kept.
    """
    settings = study.config.verify
    if 2 in settings.tiers and not settings.unsafe_unconfined:
        require_confinement()
    made = [path for path in (study.folder, *study.folder.parents) if not path.exists()]
    with explained_write(study.folder):
        study.store.folder.mkdir(parents=True, exist_ok=True)
    try:
        with RunLock(study.folder / "lock"), stop_signals():
            if force:
                (study.folder / "report.json").unlink(missing_ok=True)
                for stage in study.plan.stages:
                    study.store.discard(stage)
            _describe(study)
            _make_stages(study, [s for s in study.plan.stages if only is None or s.kind in only], say)
            if only is not None:
                return []
            return _show(study, say)
    except InputError:
        # A study that cannot be used as written leaves nothing behind, empty folders included; trained
        # models stay, whatever is wrong with a later stage.
        trained = [stage for stage in study.plan.stages if "pretrain" in (stage.kind, *stage.inputs)]
        if all(study.store.state(stage) == "waiting" for stage in trained):
            for path in made:
                if path == study.folder or not any(path.iterdir()):
                    shutil.rmtree(path, ignore_errors=True)
        raise


def _show(study: Study, say: Say) -> list[dict[str, Any]]:
    """Gather the results and draw the report, unless both stand there already, made from the same things."""
    from echochamber.analysis import write_second_opinion
    from echochamber.report import render

    folder, stamp = study.folder, study.folder / "report.json"
    made_from = digest(
        {
            "stages": [stage.folder_name for stage in study.plan.stages],
            "study": (folder / "study.yaml").read_text(encoding="utf-8"),
            "code": code_digests(showing=True),
        }
    )
    files = ("report.html", "summary.json", "metrics.jsonl", "completions")
    if (
        stamp.exists()
        and read_json(stamp)["made_from"] == made_from
        and all((folder / f).exists() for f in files)
    ):
        rows: list[dict[str, Any]] = read_json(folder / "summary.json")["rows"]
        say(f"report: {folder / 'report.html'} (nothing has changed)")
        return rows
    stamp.unlink(missing_ok=True)
    rows = gather(study.name, study.plan, study.store, folder, study.config.evaluation)
    if study.config.verify.as_published:
        write_second_opinion(folder, tiers=study.config.verify.tiers)
    say(f"report: {render(folder)}")
    write_json(stamp, {"made_from": made_from})
    return rows


def _make_stages(study: Study, stages: Sequence[Stage], say: Say) -> None:
    """Bring every stage into the store, in order.

    Raises:
        Interrupted: a signal asked to stop; what is finished stays, and the current stage can go on.
    """
    for number, stage in enumerate(stages, 1):
        head = f"[{number}/{len(stages)}] {stage.title}"
        if study.store.state(stage) == "done":
            study.store.verify(stage)
            say(f"{head}: in the store")
            continue
        if name := stop_requested():
            raise Interrupted(f"{name}: stopped before '{stage.title}'; run the same command again to go on")
        say(f"{head} ...")
        say(f"{head}: done in {execute_stage(stage, study.store):.1f} s")


def status_rows(study: Study) -> list[dict[str, Any]]:
    """One row for each stage of the plan, then one for each folder that no stage of it owns."""
    rows = []
    for stage in study.plan.stages:
        state = study.store.state(stage)
        clock = (study.store.path(stage) if state == "done" else study.store.partial(stage)) / "seconds.json"
        seconds = float(read_json(clock)["seconds"]) if clock.exists() else None
        rows.append({"stage": stage.title, "state": state, "seconds": seconds, "folder": stage.folder_name})
    for path in study.store.leftovers(list(study.plan.stages)):
        rows.append(
            {"stage": "made by another config", "state": "unused", "seconds": None, "folder": path.name}
        )
    return rows


def run_folder(text: str, runs: Path = Path("runs")) -> Path:
    """The run folder a user means: a folder, a study's name, or a study file.

    Raises:
        InputError: there is none.
    """
    candidates = [Path(text), runs / text]
    if text.endswith((".yaml", ".yml")) and Path(text).is_file():
        candidates.append(runs / load_study(Path(text))[0][1].study)
    for candidate in candidates:
        if (candidate / "summary.json").is_file():
            return candidate
    raise InputError(
        f"no finished run found at {text} (looked in {', '.join(map(str, candidates))}); "
        "give a folder under runs/, or make one with: echochamber run STUDY.yaml"
    )
