"""Whose results a run folder shows: a study that grows stays, another run is refused, nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

import echochamber
from echochamber.base import InputError, listening, read_json
from echochamber.study import Study, open_study, run_study

BASE_CHANGES = [
    ("seed=4", r"seed was 3 and is 4.*--set study=tiny-seed4, .*--replace"),
    ("data_seed=9", r"data_seed was 3 and is 9.*--set study=tiny-data_seed9"),
    ("sources.code.levels=[1, 2]", r"sources.code.levels was \[1\] and is \[1, 2\].*study=tiny-levels-1-2,"),
    ("mixtures.even.tokens=7000", r"mixtures.even.tokens was 6000 and is 7000"),
    ("pretrain.optimizer.learning_rate=1e-3", r"learning_rate was 0.004 and is 0.001"),
    ("model.sizes=[nano]", r"model.sizes was \['pico'\] and is \['nano'\]"),
    ("tasks.test.num_problems=11", r"tasks.test.num_problems was 12 and is 11"),
]


def rows(folder: Path) -> set[tuple[object, ...]]:
    return {
        (row["arm"], row["seed"], row["step"], row["greedy"])
        for row in read_json(folder / "summary.json")["rows"]
    }


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def reopened(study: Study, tiny_file: Path, *changes: str) -> Study:
    return open_study(tiny_file, changes, study.folder.parent)


@pytest.mark.parametrize(("change", "said"), BASE_CHANGES)
def test_other_base_models_under_the_same_name_are_refused_with_two_solutions(
    copy: Study, tiny_file: Path, change: str, said: str
) -> None:
    before = files(copy.folder)
    with pytest.raises(InputError, match=said):
        run_study(reopened(copy, tiny_file, change))
    assert files(copy.folder) == before


def test_the_first_solution_another_folder(copy: Study, tiny_file: Path) -> None:
    before = files(copy.folder)
    other = reopened(copy, tiny_file, "seed=4", "study=tiny-seed4")
    run_study(other)
    assert files(copy.folder) == before
    both = echochamber.load("tiny", "tiny-seed4", runs=copy.folder.parent)
    assert set(both.summary().groupby("run")["seed"].unique().explode().items()) == {
        ("tiny", 3),
        ("tiny-seed4", 4),
    }


def test_the_second_solution_taking_over(copy: Study, tiny_file: Path) -> None:
    shown = rows(copy.folder)
    said: list[str] = []
    with listening(said.append):
        run_study(reopened(copy, tiny_file, "seed=4"), replace=True)
    assert {row[1] for row in rows(copy.folder)} == {4}
    earlier = copy.folder / "earlier" / "1"
    assert any(f"are kept in {earlier}" in line for line in said)
    assert rows(earlier) == shown
    assert len(echochamber.load(earlier).completions()) == 3 * 12 * 3
    assert "seed: 3" in (earlier / "study.yaml").read_text()


@pytest.mark.parametrize(
    "change",
    [
        "seed=[3, 4]",
        "arms.second={algorithm: grpo, task: train, steps: 1, prompts_per_step: 4, prompts_per_update: null, "
        "samples_per_prompt: 4, max_new_tokens: 24}",
        "description=other words",
        "arms.grpo.checkpoint_every=1",
    ],
)
def test_a_study_that_grows_stays_where_it_is(copy: Study, tiny_file: Path, change: str) -> None:
    shown = rows(copy.folder)
    run_study(reopened(copy, tiny_file, change))
    assert rows(copy.folder) >= shown
    assert not (copy.folder / "earlier").exists()


def test_other_arms_or_another_evaluation_keep_the_earlier_report(copy: Study, tiny_file: Path) -> None:
    """The usual way of working: change a value, run again. Nothing is refused and nothing is lost."""
    shown = rows(copy.folder)
    longer = reopened(copy, tiny_file, "arms.grpo.steps=3")
    said: list[str] = []
    with listening(said.append):
        run_study(longer)
    assert any("are kept in" in line for line in said)
    assert {row[2] for row in rows(copy.folder)} == {0, 1, 3} or {row[2] for row in rows(copy.folder)} == {
        0,
        3,
    }
    assert rows(copy.folder / "earlier" / "1") == shown
    run_study(reopened(copy, tiny_file))
    assert rows(copy.folder) == shown
    run_study(longer)
    numbered = sorted(path.name for path in (copy.folder / "earlier").iterdir())
    assert numbered == ["1", "2"], "what is kept already is not kept again"


def test_a_kill_while_the_earlier_report_is_moved(copy: Study, tiny_file: Path) -> None:
    shown = rows(copy.folder)
    half = copy.folder / "earlier" / "next.tmp"
    half.mkdir(parents=True)
    for name in ("study.yaml", "plan.json", "report.json", "completions"):
        (copy.folder / name).rename(half / name)
    run_study(reopened(copy, tiny_file, "arms.grpo.steps=1"))
    assert rows(copy.folder / "earlier" / "1") == shown
    assert (copy.folder / "earlier" / "1" / "study.yaml").is_file()


def test_data_prepare_leaves_what_is_shown(copy: Study, tiny_file: Path) -> None:
    before = (copy.folder / "study.yaml").read_bytes()
    run_study(reopened(copy, tiny_file, "seed=4"), only=("problems",))
    assert (copy.folder / "study.yaml").read_bytes() == before
