"""Study files: references, sweeps, seeds, user modules, keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from echochamber.base import Document, InputError
from echochamber.study import estimate, load_study, make_plan, open_study
from echochamber.study.reading import expand_sweep
from echochamber.study.stages import TABLES, table_paths


def titles(path: Path, *overrides: str) -> list[str]:
    return [stage.title for stage in make_plan(load_study(path, overrides)).stages]


def test_plan_is_in_an_order_in_which_inputs_exist(tiny_file: Path) -> None:
    made: set[str] = set()
    for stage in make_plan(load_study(tiny_file)).stages:
        assert {other.key for other in stage.inputs.values()} <= made
        made.add(stage.key)


def test_seeds_share_the_data(tiny_file: Path) -> None:
    found = titles(tiny_file, "seed=[3, 4]")
    assert found.count("tokenise the mixture even") == 1
    assert [t for t in found if t.startswith("pretrain")] == [
        "pretrain pico on even, seed 3", "pretrain pico on even, seed 4",
    ]  # fmt: skip


def test_sweep_shares_what_it_does_not_change(tiny_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(tiny_file.read_text() + "sweep:\n  arms.grpo.kl_coefficient: [0, 1e-2]\n")
    plan = make_plan(load_study(path))
    assert sum(stage.kind == "pretrain" for stage in plan.stages) == 1
    assert {item.labels.arm for item in plan.measured} == {
        "base", "grpo[kl_coefficient=0]", "grpo[kl_coefficient=0.01]",
    }  # fmt: skip


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
    with pytest.raises(InputError, match="a value stands there twice"):
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


def test_a_chain_of_arms(tiny_file: Path, tmp_path: Path) -> None:
    text = tiny_file.read_text()
    block = text[text.index("  grpo:") :].replace("  grpo:", "  more:").rstrip() + "\n    start_from: grpo\n"
    path = tmp_path / "chain.yaml"
    path.write_text(text.replace("arms:\n", "arms:\n" + block))
    plan = make_plan(load_study(path))
    arms = [stage for stage in plan.stages if stage.kind == "arm"]
    assert [stage.title.split()[0] for stage in arms] == ["grpo", "more"]
    assert arms[1].inputs["start"] is arms[0]


def test_keys_follow_what_affects_the_result(tiny_file: Path) -> None:
    def keys(*overrides: str) -> dict[str, str]:
        return {stage.kind: stage.key for stage in make_plan(load_study(tiny_file, overrides)).stages}

    base = keys()
    assert keys() == base
    assert keys("study=other", "description=x") == base
    longer = keys("arms.grpo.steps=3")
    assert longer["pretrain"] == base["pretrain"] and longer["arm"] != base["arm"]
    fresh = keys("seed=4")
    assert all(
        fresh[kind] != base[kind] for kind in base if kind != "check" or fresh["problems"] != base["problems"]
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "evaluation.benchmarks=[tset]",
            r"no task is named 'tset'; this study has test, train. Did you mean 'test'",
        ),
        ("arms.grpo.task=trian", r"arms.grpo.task: no task is named 'trian'.*Did you mean 'train'"),
        ("arms.grpo.task=test", r"'test' is an evaluation set"),
        ("arms.grpo.start_from=ppo", r"no other arm is named 'ppo'"),
        ("mixtures.even.shares={code: 0.5, porse: 0.5}", r"no source is named 'porse'.*Did you mean 'prose'"),
        ("sources.code.format=tinygms", r"unknown format 'tinygms'.*Did you mean 'tinygsm'"),
        ("model.sizes=[picco]", r"unknown model size 'picco'.*Did you mean 'pico'"),
        ("pretrain.sequence_length=128", r"longer than model.context_length 96"),
        ("seed=[1, 1]", r"list of different ones"),
        ("arms.grpo.algorithm=gropo", r"gropo"),
        ("modules=[nowhere.py]", r"nowhere.py is not a Python file"),
    ],
)
def test_mistakes_are_sentences(tiny_file: Path, change: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_study(tiny_file, [change])


def test_user_module_registers_a_reward(tiny_file: Path, tmp_path: Path) -> None:
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
    again = make_plan(load_study(path, ["arms.grpo.reward=brief_test_only"]))
    assert {s.key for s in again.stages}.isdisjoint({s.key for s in with_module.stages})


def test_dry_run_counts(tiny_file: Path) -> None:
    result = estimate(open_study(tiny_file))
    assert sum(row["tokens"] for row in result.mixtures) == 6000
    assert result.models[0]["parameters"] == 2 * 300 * 64 + 4 * (4 * 64 * 64 + 3 * 64 * 256)
    pretrain = next(row for row in result.stages if row["stage"].startswith("pretrain"))
    assert pretrain["tokens"] == 6000
    assert pretrain["FLOPs"] == pytest.approx(6000 * result.models[0]["training FLOPs a token"])


def test_tables_come_benchmark_by_benchmark_in_the_study_s_order(tmp_path: Path) -> None:
    names = ["aime-00000000", "aime-00000010", "math-500-00000000", "zeta-00000000", "zeta-00000010"]
    (tmp_path / TABLES).mkdir()
    for name in names:
        (tmp_path / TABLES / f"{name}.parquet").touch()
    found = [path.stem for path in table_paths(tmp_path, ["zeta", "math-500", "aime"])]
    assert found == [
        "zeta-00000000", "zeta-00000010", "math-500-00000000", "aime-00000000", "aime-00000010",
    ]  # fmt: skip
