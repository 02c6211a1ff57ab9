"""What a run folder shows: its files, the stages and config they came from, and whether they have changed."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from echochamber import analysis, report
from echochamber.base import (
    EchoError,
    InputError,
    digest_file,
    explained_write,
    read_json,
    say,
    set_aside,
    write_file,
    write_json,
)
from echochamber.evaluation import SCHEMA
from echochamber.study.config import StudyConfig
from echochamber.study.plan import Plan
from echochamber.study.reading import load_study
from echochamber.study.store import DAMAGED, environment

SUMMARY, REPORT, STUDY, PLAN, ENVIRONMENT = (
    "summary.json", "report.html", "study.yaml", "plan.json", "environment.json",
)  # fmt: skip
SECOND_OPINION = "second_opinion.json"
# Records what the files below were made from and their digests; removed while they are being written.
STAMP = "report.json"
EARLIER = "earlier"
_DESCRIPTION = (STUDY, PLAN, ENVIRONMENT)
_RESULTS = (
    "metrics.jsonl", "timing.jsonl", "alarms.jsonl", "format_probabilities.jsonl", SECOND_OPINION,
    REPORT, SUMMARY,
)  # fmt: skip
_FOLDERS = ("completions", "figures")
# The parts of a study that determine its base models; the other parts can change in place.
_BASE = ("tasks", "sources", "tokenizer", "mixtures", "model", "pretrain", "models")
# Kinds of stages whose results are shown.
MEASURED = ("pretrain", "import", "evaluate", "arm")
_MOST_CHANGES = 4


def digests(folder: Path) -> dict[str, str]:
    """Digest of every gathered file of a run folder, by name; empty for a file that cannot be read."""
    paths = [folder / name for name in _RESULTS if os.path.lexists(folder / name)]
    paths += [path for name in _FOLDERS for path in sorted((folder / name).glob("*"))]
    return {str(path.relative_to(folder)): _content(path) for path in paths}


def _content(path: Path) -> str:
    try:
        return digest_file(path)
    except OSError:
        return ""


def read_stamp(folder: Path) -> dict[str, Any]:
    """The stamp of a run folder; empty if there is none or it cannot be read."""
    try:
        stamp = read_json(folder / STAMP)
    except EchoError:
        return {}
    return stamp if isinstance(stamp, dict) else {}


def clear_way(folder: Path) -> None:
    """Move aside whatever is in the way of a run's files, e.g. a folder with the name of a file."""
    files = [folder / name for name in (*_RESULTS, *_DESCRIPTION, STAMP, "stop", "tracked.json")]
    files += [path for path in (folder / "figures").glob("*") if path.suffix in (".png", ".svg")]
    folders = [folder / name for name in (*_FOLDERS, "failed", EARLIER)]
    for path in (*files, *folders):
        right = path.is_file() if path in files else path.is_dir()
        if os.path.lexists(path) and not right:
            where = set_aside(path, folder / DAMAGED)
            say(f"{path} is not a {'file' if path in files else 'folder'} and was moved to {where}")


def make_room(folder: Path, plan: Plan, configs: Sequence[StudyConfig], *, replace: bool) -> None:
    """Prepare a run folder before a run writes into it: keep what it shows, move it to `earlier/`, or refuse.

    A study that has grown (arms, seeds, sizes) still shows everything that it showed before and stays in
    place. If other arms or another evaluation remove results from the report, the old report is kept under
    `earlier/`. Other base models make it a different run, which is refused unless `replace` is set.

    Raises:
        InputError: the folder shows results of other base models.
    """
    if _half_kept(folder).is_dir():
        _keep(folder)
    if not _leaves_the_report(folder, plan):
        return
    if not replace:
        refuse_other_run(folder, plan, configs)
    where = _keep(folder)
    say(f"results no longer in the report of {folder} are kept in {where}; finished stages stay in the store")


def refuse_other_run(folder: Path, plan: Plan, configs: Sequence[StudyConfig]) -> None:
    """Refuse to run a study in a folder that shows the results of other base models; changes nothing.

    Raises:
        InputError: the folder shows such results; the message says what can be done.
    """
    if not _leaves_the_report(folder, plan):
        return
    changes = _base_changes(_resolved(folder), [config.model_dump(mode="json") for config in configs])
    if changes:
        raise InputError(_refusal(folder, changes))


def _leaves_the_report(folder: Path, plan: Plan) -> bool:
    """Whether a run folder shows results that the plan does not have."""
    if not os.path.lexists(folder / SUMMARY):
        return False
    shown = _shown_stages(folder)
    return shown is None or not shown <= {stage.folder_name for stage in plan.stages}


def _refusal(folder: Path, changes: Sequence[tuple[str, Any, Any]]) -> str:
    listed = ", ".join(f"{key} was {_short(old)} and is {_short(new)}" for key, old, new in changes)
    first, _, value = changes[0]
    ending = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{first.rsplit('.', 1)[-1]}{_short(value)}").strip("-")
    return (
        f"{folder} shows the results of other base models: {listed}. Give this run its own folder with "
        f"--set study={folder.name}-{ending}, or let it take over this one with --replace (the results "
        f"shown now are then kept in {folder / EARLIER})"
    )


def _short(value: Any) -> str:
    text = "unset" if value is None else str(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _shown_stages(folder: Path) -> set[str] | None:
    """Folder names of the stages whose results a run folder shows; None if that is not recorded."""
    if "stages" in (stamp := read_stamp(folder)):
        return set(stamp["stages"])
    try:
        planned = read_json(folder / PLAN)["stages"]
        return {Path(stage["folder"]).name for stage in planned if stage["stage"] in MEASURED}
    except (EchoError, KeyError, TypeError):
        return None


def _resolved(folder: Path) -> list[dict[str, Any]]:
    """The resolved study that is shown, one config per point of its sweep; empty if it cannot be read."""
    try:
        found = list(yaml.safe_load_all((folder / STUDY).read_text(encoding="utf-8")))
    except (OSError, ValueError, yaml.YAMLError):
        return []
    return [document for document in found if isinstance(document, dict)]


def _base_changes(
    before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]
) -> list[tuple[str, Any, Any]]:
    """The changes that remove base models from a study: key, value before, value now."""
    for old in before:
        found = [_changed(old, new) for new in now]
        if all(found):
            return min(found, key=len)[:_MOST_CHANGES]
    return []


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    changes: list[tuple[str, Any, Any]] = []
    before, after = _seeds(old), _seeds(new)
    if not set(before) <= set(after):
        changes.append(("seed", old.get("seed"), new.get("seed")))
    elif _data_seed(old, before) != _data_seed(new, after):
        changes.append(("data_seed", _data_seed(old, before), _data_seed(new, after)))
    for part in _BASE:
        changes += _lost(part, old.get(part), new.get(part))
    return changes


def _seeds(study: Mapping[str, Any]) -> list[Any]:
    seed = study.get("seed")
    return list(seed) if isinstance(seed, list) else [seed]


def _data_seed(study: Mapping[str, Any], seeds: Sequence[Any]) -> Any:
    return seeds[0] if study.get("data_seed") is None else study["data_seed"]


def _lost(key: str, old: Any, new: Any) -> list[tuple[str, Any, Any]]:
    """Values of the old part that the new one lacks or changes; what only the new part has does not count."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return [change for name in old for change in _lost(f"{key}.{name}", old[name], new.get(name))]
    grown = key == "model.sizes" and isinstance(old, list) and isinstance(new, list) and set(old) <= set(new)
    return [] if grown or old == new else [(key, old, new)]


def _half_kept(folder: Path) -> Path:
    return folder / EARLIER / "next.tmp"


def _keep(folder: Path) -> Path:
    """Move what is shown to a numbered folder under `earlier/`; the next run completes an interrupted move.

    Results that an earlier folder already holds, byte for byte, are not kept twice.
    """
    temporary = _half_kept(folder)
    with explained_write(temporary):
        temporary.mkdir(parents=True, exist_ok=True)
        # The summary moves last: as long as it exists, the folder counts as showing something.
        for name in (*_DESCRIPTION, STAMP, *_FOLDERS, *_RESULTS):
            if os.path.lexists(folder / name):
                (folder / name).rename(temporary / name)
        stamp, kept = read_stamp(temporary), _numbered(folder)
        for number in kept:
            if stamp and read_stamp(folder / EARLIER / str(number)) == stamp:
                shutil.rmtree(temporary)
                return folder / EARLIER / str(number)
        target = folder / EARLIER / str(max(kept, default=0) + 1)
        temporary.rename(target)
    return target


def _numbered(folder: Path) -> list[int]:
    names: Iterable[str] = (path.name for path in (folder / EARLIER).iterdir() if path.is_dir())
    return sorted(int(name) for name in names if name.isdigit())


def describe(folder: Path, variants: Sequence[tuple[str, StudyConfig]], plan: Plan) -> None:
    """Write what makes a run folder explain itself: resolved config, plan, versions, commit."""
    write_file(folder / STUDY, _resolved_text(variants))
    write_json(
        folder / PLAN,
        {
            "schema": SCHEMA,
            "stages": [
                {
                    "stage": stage.kind,
                    "title": stage.title,
                    "key": stage.key,
                    "seed": stage.seed,
                    "folder": f"store/{stage.folder_name}",
                }
                for stage in plan.stages
            ],
        },
    )
    write_json(folder / ENVIRONMENT, {**environment(), "commit": _commit(), "host": platform.node()})


def _resolved_text(variants: Sequence[tuple[str, StudyConfig]]) -> str:
    """The resolved study as YAML; in a sweep, one document per point, with its label."""
    points = [(label, config.model_dump(mode="json", exclude={"sweep"})) for label, config in variants]
    documents = [{"sweep": label, **plain} for label, plain in points] if len(points) > 1 else [points[0][1]]
    return "---\n".join(yaml.safe_dump(one, sort_keys=False, allow_unicode=True) for one in documents)


def _commit() -> str | None:
    """The git commit of the code, if it is in a repository."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40"],
            capture_output=True, text=True, timeout=10, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None


def redraw(folder: Path, *, as_published: bool = False) -> Path:
    """Draw the report of a run folder again from its records; returns the path of the page.

    Args:
        as_published: first score the run by the paper's released rules.

    Raises:
        InputError: not a run folder.
        EchoError: its records are damaged, or the folder cannot be written to.
    """
    if as_published:
        analysis.write_second_opinion(folder)
    page = report.render(folder)
    # Only one process at a time draws it, so that all digests belong to the same drawing.
    with analysis.showing_lock(folder):
        if stamp := read_stamp(folder):
            drawn = {
                name: content
                for name, content in digests(folder).items()
                if name in (REPORT, SECOND_OPINION) or name.startswith("figures/")
            }
            write_json(folder / STAMP, {**stamp, "files": {**stamp.get("files", {}), **drawn}})
    return page


def find_run(text: str, runs: Path = Path("runs")) -> Path:
    """The run folder that a user means by a folder, a study's name, or a study file.

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
