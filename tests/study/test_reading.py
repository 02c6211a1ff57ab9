"""From a study file to its configs: sweeps, variables, user modules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from echochamber.base import Document, InputError
from echochamber.study import load_study
from echochamber.study.make import run_stage
from echochamber.study.plan import make_plan
from echochamber.study.reading import _imported, expand_sweep, import_modules, module_digests
from echochamber.study.store import Stage, Store


@given(
    st.lists(
        st.one_of(
            st.text(st.characters(exclude_categories=["Cs"])), st.integers(), st.booleans(), st.none(),
            st.floats(allow_nan=False, allow_infinity=False), st.lists(st.text("ab", max_size=3), max_size=3),
        ),
        min_size=1, max_size=5, unique_by=json.dumps,
    )
)  # fmt: skip
@example([r"#### (\d+)", "no", "1e-6", "2026-01-02", "a\nb", 'Größe: "x"', ""])
@example(["1", 1, 1.0, True, "true"])
def test_a_sweep_hands_values_on_as_they_are(values: list[Any]) -> None:
    document = Document({"arms": {"x": {"text": 0}}, "sweep": {"arms.x.text": values}}, {})
    points = expand_sweep(document)
    assert [point.data["arms"]["x"]["text"] for _, point in points] == values
    assert [type(point.data["arms"]["x"]["text"]) for _, point in points] == [type(v) for v in values]
    labels = [label for label, _ in points]
    assert len(set(labels)) == len(labels)
    assert all(len(label) < 60 and "\n" not in label for label in labels)


def test_labels_of_sweep_points_are_short_and_tell_them_apart() -> None:
    sweep = {"arms.ppo.rate": [1e-3, "1e-3"], "arms.grpo.rate": [1], "arms.ppo.seed": ["no"]}
    data = {"arms": {"ppo": {}, "grpo": {}}, "sweep": sweep}
    assert [label for label, _ in expand_sweep(Document(data, {}))] == [
        "ppo.rate=0.001,grpo.rate=1,seed=no", 'ppo.rate="1e-3",grpo.rate=1,seed=no',
    ]  # fmt: skip
    with pytest.raises(InputError, match="a value is listed twice"):
        expand_sweep(Document({"sweep": {"seed": [1, 2, 1]}}, {}))


def test_a_task_inherits_its_kind_through_a_merge_key(tiny_file: Path, tmp_path: Path) -> None:
    text = tiny_file.read_text()
    path = tmp_path / "merge.yaml"
    path.write_text(
        text.replace("  test: {", "  test: &test {").replace(
            "  train: {kind: word_problems, num_problems: 16, levels: [1], largest: 9}",
            "  train: {<<: *test, num_problems: 16}",
        )
    )
    assert load_study(path) == load_study(tiny_file)


def test_user_module_registers_a_reward(
    tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(
        "import echochamber\n"
        "def brief(graded):\n"
        "    return [item.verdict.reward / item.num_tokens for item in graded]\n"
        "echochamber.register_reward('brief_test_only', brief)\n"
    )
    path = tmp_path / "study.yaml"
    path.write_text(tiny_file.read_text() + "modules: [mine.py]\n")
    with_module = make_plan(load_study(path, ["arms.grpo.reward=brief_test_only"]))
    assert any(stage.modules for stage in with_module.stages)
    (tmp_path / "mine.py").write_text((tmp_path / "mine.py").read_text() + "# another content, another key\n")
    monkeypatch.delitem(_imported, str(tmp_path / "mine.py"))  # as in another process
    again = make_plan(load_study(path, ["arms.grpo.reward=brief_test_only"]))
    assert {s.key for s in again.stages}.isdisjoint({s.key for s in with_module.stages})


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "X = 1\nraise RuntimeError('two\\nlines')\n",
            r"mine\.py:2: does not import: RuntimeError: two lines",
        ),
        ("import nowhere\n", r"mine\.py:1: does not import: ModuleNotFoundError: No module named 'nowhere'"),
        (
            "import echochamber\n\nechochamber.register_reward('correct', len)\n",
            r"mine\.py:3: the reward 'correct' is registered twice",
        ),
        (
            "import echochamber\nechochamber.register_reward('x', 3)\n",
            "mine.py:2: the reward 'x' is 3; expected",
        ),
        (
            "import echochamber\nechochamber.register_tracker('x', 3)\n",
            "mine.py:2: the tracker 'x' is 3; expected its class",
        ),
    ],
)
def test_a_user_module_that_does_not_import_is_named_with_its_line(
    tmp_path: Path, code: str, message: str
) -> None:
    (tmp_path / "mine.py").write_text(code)
    with pytest.raises(InputError, match=message):
        import_modules([str(tmp_path / "mine.py")])
    with pytest.raises(InputError, match="not a Python file"):
        import_modules([str(tmp_path / "yours.py")])


def test_a_user_module_that_was_edited_needs_a_new_process(tiny_file: Path, tmp_path: Path) -> None:
    """Its old code must not make stages under the key of the new one."""
    mine, path = tmp_path / "mine.py", tmp_path / "study.yaml"
    mine.write_text("X = 1\n")
    path.write_text(tiny_file.read_text() + "modules: [mine.py]\n")
    [before, *_] = make_plan(load_study(path)).stages
    mine.write_text("X = 2\n")
    with pytest.raises(InputError, match=r"mine\.py was changed after this process had imported it"):
        load_study(path)
    # A run that goes on is not disturbed, and its stages keep their key.
    import_modules(before.modules)
    assert module_digests(before.modules) == before.config["modules"]


def test_a_job_whose_module_changed_since_the_plan_is_refused(tmp_path: Path) -> None:
    """A worker imports the file when its job starts, perhaps long after the study was planned."""
    (tmp_path / "mine.py").write_text("X = 1\n")
    modules = (str(tmp_path / "mine.py"),)
    stage = Stage("check", "check", 1, {"modules": ["another digest"]}, {}, 0, modules, {})
    with pytest.raises(InputError, match=r"mine\.py: changed after the study was planned"):
        run_stage(stage, Store(tmp_path / "store"))
