"""Every file of a finished run, damaged in every way: the next run repairs it, the one after finds no damage.

By default each file is damaged in two of the ways, in turn; `ECHOCHAMBER_SOAK=1` tries all of them. Except in
one test, making a stage again only copies the finished one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from echochamber.base import InputError, digest, listening, read_json, write_json
from echochamber.evaluation import SCHEMA
from echochamber.study import Study, load_trained, open_study, redraw, run_study, status_rows
from echochamber.study.run_folder import digests
from echochamber.study.stages import STAGES, StageContext

SOAK = bool(os.environ.get("ECHOCHAMBER_SOAK"))
# What holds times, or names of places, and differs between two runs of the same study.
CLOCKS = {"timing.jsonl", "seconds.json", "environment.json", "report.json", "summary.json", "report.html"}


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes() or b"\0")
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "something").write_text("else")


def a_dead_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


WAYS: dict[str, Callable[[Path], object]] = {
    "deleted": Path.unlink,
    "emptied": lambda path: path.write_bytes(b""),
    "halved": halved,
    "flipped": flipped,
    "a folder": a_folder,
    "a dead link": a_dead_link,
}


@pytest.fixture
def quick_stages(finished: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage makes the same as before."""

    def run(context: StageContext) -> None:
        made = finished.store.folder / context.folder.name.removesuffix(".partial")
        shutil.copytree(made, context.folder, dirs_exist_ok=True)
        (context.folder / "manifest.json").unlink()

    for name, kind in STAGES.items():
        monkeypatch.setitem(STAGES, name, replace(kind, run=run))


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in CLOCKS and "damaged" not in path.relative_to(folder).parts
    }


def ran(study: Study) -> list[str]:
    said: list[str] = []
    with listening(said.append):
        run_study(study)
    return said


def is_quiet(said: list[str]) -> bool:
    return all(line.endswith((": in the store", "(nothing has changed)")) for line in said)


def whole_again(study: Study, path: Path, right: dict[str, bytes]) -> None:
    """One run repairs the damage and says so; the one after it finds nothing to do."""
    said = ran(study)
    assert contents(study.folder) == right, path
    assert path.is_file() or path.name in CLOCKS
    assert not is_quiet(said) or path.name in CLOCKS or path.name in ("study.yaml", "plan.json"), path


def files_of(study: Study) -> Iterator[Path]:
    return (path.relative_to(study.folder) for path in sorted(study.folder.rglob("*")) if path.is_file())


def damage_in_turn(study: Study, chosen: Callable[[Path], bool]) -> int:
    right, tried = contents(study.folder), 0
    for number, name in enumerate(path for path in files_of(study) if chosen(path)):
        ways = list(WAYS.items())
        for _, way in ways if SOAK else (ways[(number + turn) % len(ways)] for turn in (0, 3)):
            path = study.folder / name
            if path.is_file() and (path.stat().st_size or way not in (WAYS["emptied"], halved)):
                way(path)
                whole_again(study, path, right)
                tried += 1
    assert is_quiet(ran(study))
    return tried


@pytest.mark.parametrize("kind", ["problems", "tokenizer", "check", "mixture", "pretrain", "evaluate", "arm"])
def test_any_file_of_a_stage(copy: Study, quick_stages: None, kind: str) -> None:
    assert damage_in_turn(copy, lambda name: name.parts[0] == "store" and name.parts[1].startswith(kind)) > 3
    assert list((copy.folder / "damaged").iterdir())


def test_any_gathered_file(copy: Study, quick_stages: None) -> None:
    assert damage_in_turn(copy, lambda name: name.parts[0] != "store") > 20


@pytest.mark.parametrize("way", ["deleted", "a file"])
def test_any_folder(copy: Study, quick_stages: None, way: str) -> None:
    right = contents(copy.folder)
    for folder in [path for path in sorted(copy.folder.rglob("*")) if path.is_dir() and any(path.iterdir())]:
        if "damaged" in folder.relative_to(copy.folder).parts or folder == copy.store.folder:
            continue
        shutil.rmtree(folder)
        if way == "a file":
            folder.write_text("something else")
        ran(copy)
        assert contents(copy.folder) == right, folder
    assert is_quiet(ran(copy))


def test_a_file_in_place_of_the_store_is_a_sentence(copy: Study) -> None:
    copy.store.folder.rename(copy.folder / "elsewhere")
    copy.store.folder.write_text("")
    with pytest.raises(InputError, match="cannot write .*store: a file is in the way; move it or remove it"):
        ran(copy)


@pytest.mark.parametrize("name", ["stop", "failed", "completions.tmp", "tracked.json"])
def test_things_of_the_wrong_kind_in_the_way(copy: Study, name: str) -> None:
    if name in ("failed", "completions.tmp"):
        (copy.folder / name).write_text("")
    else:
        (copy.folder / name / "inside").mkdir(parents=True)
    (copy.folder / "summary.json").unlink()
    try:
        ran(copy)
    except InputError as error:
        assert "in the way; move it or remove it" in str(error)
        (copy.folder / name).unlink()
        ran(copy)
    assert is_quiet(ran(copy))


def test_damaged_files_are_kept_and_status_lists_what_waits(copy: Study) -> None:
    stage = next(stage for stage in copy.plan.stages if stage.kind == "pretrain")
    (copy.store.path(stage) / "manifest.json").unlink()
    weights = (copy.store.path(stage) / "model" / "model.safetensors").read_bytes()
    assert {row["stage"]: row["state"] for row in status_rows(copy)}[stage.title] == "damaged"
    with pytest.raises(InputError, match="is not finished; run the study first"):
        load_trained(copy, next(item for item in copy.plan.measured if item.stage is stage))
    said = ran(copy)
    kept = copy.folder / "damaged" / stage.folder_name
    assert (kept / "model" / "model.safetensors").read_bytes() == weights
    assert any(f"manifest.json is missing; the old files are kept in {kept}" in line for line in said)


def test_a_model_is_checked_before_it_is_used(copy: Study) -> None:
    item = next(item for item in copy.plan.measured if item.stage.kind == "arm")
    flipped(copy.store.path(item.stage) / "model" / "model.safetensors")
    with pytest.raises(InputError, match=r"model.safetensors is damaged; run the study again"):
        load_trained(copy, item)


def test_a_stage_made_again_has_the_bytes_it_had(copy: Study, finished: Study) -> None:
    stage = next(stage for stage in copy.plan.stages if stage.kind == "pretrain")
    halved(copy.store.path(stage) / "model" / "model.safetensors")
    ran(copy)
    assert contents(copy.store.folder) == contents(finished.store.folder)


def test_what_was_made_from_other_bytes_is_made_again(copy: Study) -> None:
    """A base model made again on another machine has other weights: its arms are not its own."""
    by_kind = {stage.kind: stage for stage in copy.plan.stages}
    for kind, path in (("evaluate", "manifest.json"), ("arm", "manifest.json")):
        made_from = read_json(copy.store.path(by_kind[kind]) / path)["made_from"]
        assert set(made_from) == set(by_kind[kind].inputs)
    pretrain = by_kind["pretrain"]
    partial = copy.store.partial(pretrain)
    shutil.copytree(copy.store.path(pretrain), partial)
    shutil.rmtree(copy.store.path(pretrain))
    (partial / "manifest.json").unlink()
    flipped(partial / "model" / "model.safetensors")
    copy.store.finish(pretrain)
    said = ran(copy)
    again = [line for line in said if "was made from an earlier result of" in line]
    assert len(again) == 2
    assert is_quiet(ran(copy))


def test_damage_in_an_unfinished_stage_is_a_sentence_with_its_fix(tiny_file: Path, tmp_path: Path) -> None:
    study = open_study(tiny_file, runs=tmp_path)
    folder = study.store.begin(next(stage for stage in study.plan.stages if stage.kind == "problems"))
    (folder / "code.json").write_text("{")
    (folder / "seconds.json").write_text("")
    with pytest.raises(InputError, match=r"code.json is damaged: .*; remove .*\.partial to make that stage"):
        run_study(study, only=("problems",))
    shutil.rmtree(folder)
    run_study(study, only=("problems",))


def test_a_second_opinion_is_computed_once(copy: Study) -> None:
    """It stays as long as it is intact, and does not stop the run if it is damaged."""
    path = copy.folder / "second_opinion.json"
    redraw(copy.folder, as_published=True)
    assert is_quiet(ran(copy))
    halved(path)
    assert any("second_opinion.json" in line for line in ran(copy))
    assert not path.exists() and (copy.folder / "damaged" / path.name).exists()
    assert is_quiet(ran(copy))


def test_files_that_may_not_be_read_are_damaged(copy: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """For root nothing is unreadable, so the error is simulated."""

    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("echochamber.study.store.digest_file", refuse)
    stage = next(stage for stage in copy.plan.stages if stage.kind == "arm")
    assert copy.store.damage(stage).endswith("cannot be read: Permission denied")
    with pytest.raises(InputError, match="cannot be read: Permission denied; run the study again"):
        copy.store.require(stage)
    monkeypatch.setattr("echochamber.study.run_folder.digest_file", refuse)
    assert set(digests(copy.folder).values()) == {""}


def _rewritten(manifest: Path, **changes: int | None) -> None:
    content = {**read_json(manifest), **changes}
    content = {key: value for key, value in content.items() if value is not None and key != "sha256"}
    write_json(manifest, {**content, "sha256": digest(content)})


def test_a_stage_of_an_older_schema_is_taken_and_one_of_a_newer_is_refused(copy: Study) -> None:
    """Manifests carried no schema before it was counted; the key says whether the results still fit."""
    tokenizer = next(stage for stage in copy.plan.stages if stage.kind == "tokenizer")
    manifest = copy.store.path(tokenizer) / "manifest.json"
    assert read_json(manifest)["schema"] == SCHEMA
    _rewritten(manifest, schema=None)
    assert is_quiet(ran(copy))
    _rewritten(manifest, schema=SCHEMA + 1)
    with pytest.raises(
        InputError, match=rf"newer version of echochamber \(schema {SCHEMA + 1}, while this one"
    ):
        run_study(copy)
    assert copy.store.path(tokenizer).is_dir()
