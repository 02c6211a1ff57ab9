"""Arms that start from a model made elsewhere, or from an earlier step of pretraining."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
import yaml

from echochamber.analysis import Run, select, trajectories
from echochamber.base import InputError, read_json
from echochamber.model import load_policy
from echochamber.study import (
    Study,
    estimate,
    export_model,
    find_models,
    load_study,
    load_trained,
    open_study,
    run_study,
    sample_completions,
)  # fmt: skip
from echochamber.train import snapshot_folder


@pytest.fixture(scope="module")
def starting(finished: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base model of the tiny study, in the layout of Hugging Face."""
    folder = tmp_path_factory.mktemp("starting") / "hf"
    export_model(finished, folder, arm="base")
    return folder


@pytest.fixture(scope="module")
def from_models(tiny_file: Path, starting: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = yaml.safe_load(tiny_file.read_text())
    for key in ("sources", "tokenizer", "mixtures", "model", "pretrain"):
        del data[key]
    path = tmp_path_factory.mktemp("study") / "from_models.yaml"
    path.write_text(
        yaml.safe_dump({**data, "study": "elsewhere", "models": {"mine": {"path": str(starting)}}})
    )
    return path


@pytest.fixture(scope="module")
def started(from_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = open_study(from_models, runs=tmp_path_factory.mktemp("runs"))
    run_study(study)
    return study


def _kinds(study: Study) -> dict[str, Any]:
    return {stage.kind: study.store.path(stage) for stage in study.plan.stages}


def test_an_exported_base_model_gives_the_same_arm(finished: Study, started: Study) -> None:
    """Exported, imported again and post-trained: the same bits as without the round trip."""
    theirs, ours = _kinds(finished), _kinds(started)
    assert set(ours) == {"questions", "problems", "import", "check", "evaluate", "arm"}
    for name in ("model/model.safetensors", "metrics.jsonl"):
        assert (theirs["arm"] / name).read_bytes() == (ours["arm"] / name).read_bytes()
    name = "completions/test-00000000.parquet"
    assert pq.read_table(theirs["evaluate"] / name).equals(pq.read_table(ours["evaluate"] / name))


def test_everything_downstream_knows_the_model_by_its_name(started: Study) -> None:
    rows = read_json(started.folder / "summary.json")["rows"]
    assert {(row["arm"], row["size"], row["mixture"], row["step"]) for row in rows} == {
        (arm, "mine", "its own data", step) for arm, step in [("base", 0), ("grpo", 0), ("grpo", 2)]
    }  # fmt: skip
    assert {t.name for t in select(trajectories(Run(started.folder)))} == {"base", "grpo"}
    report = (started.folder / "report.html").read_text()
    assert "mine" in report and "mine on imported" not in report
    assert (
        len(sample_completions(started, "What is 2 + 2?", arm="base", num_samples=2, temperature=1, seed=0))
        == 2
    )
    assert load_trained(started, find_models(started, arm="base")[0])[0].config.vocab_size == 300


def test_the_dry_run_counts_the_named_model(started: Study) -> None:
    result = estimate(started)
    assert [row["size"] for row in result.models] == ["mine"]
    assert result.models[0]["parameters"] == 2 * 300 * 64 + 4 * (4 * 64 * 64 + 3 * 64 * 256)
    assert result.mixtures == []
    assert all(row["tokens"] for row in result.stages if row["stage"].startswith(("evaluate", "grpo")))


def test_other_weights_make_another_study(from_models: Path, starting: Path, tmp_path: Path) -> None:
    shutil.copytree(starting, tmp_path / "copy")
    change = f"models.mine.path={tmp_path / 'copy'}"
    before = {stage.kind: stage.key for stage in open_study(from_models, [change]).plan.stages}
    weights = tmp_path / "copy" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    after = {stage.kind: stage.key for stage in open_study(from_models, [change]).plan.stages}
    assert before["problems"] == after["problems"]
    assert all(before[kind] != after[kind] for kind in ("import", "check", "evaluate", "arm"))


def test_prompts_that_do_not_fit_the_named_model_are_refused(from_models: Path, tmp_path: Path) -> None:
    study = open_study(from_models, ["evaluation.max_new_tokens=90"], tmp_path / "runs")
    with pytest.raises(
        InputError, match=r"model's context of 96\. Lower max_new_tokens to at most \d+, or use a"
    ):
        run_study(study)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": {}}, r"sources: missing; a study trains its base models from sources.*or names models"),
        ({"model": {"sizes": ["pico"]}}, r"model: this study starts from models made elsewhere"),
        ({"tokenizer": {"vocab_size": 400}}, r"yaml:\d+: tokenizer: this study starts from models"),
        (
            {"models": {"mine": {"path": "/nowhere"}}},
            r"models\.mine\.path: /nowhere: there is no such folder",
        ),
        ({"models": {"a b": {"path": "."}}}, r"models\.a b: expected a name of letters"),
        ({"models": {"mine": {"path": "."}}}, r"holds no model: there is no config\.json"),
        ({"models": {"mine": {"pth": "."}}}, r"pth.*Did you mean 'path'"),
        (
            {"engine": "nativ"},
            r"unknown engine 'nativ': expected one of auto, native, hf.*Did you mean 'native'",
        ),
    ],
)
def test_mistakes_are_sentences(
    from_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(from_models.read_text()) | changes))
    with pytest.raises(InputError, match=message):
        open_study(path)


@pytest.fixture(scope="module")
def with_snapshots(tiny_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = yaml.safe_load(tiny_file.read_text())
    data["study"] = "early"
    data["pretrain"]["snapshots"] = [5, 20]
    data["arms"]["early"] = {**data["arms"]["grpo"], "start_step": 5}
    path = tmp_path_factory.mktemp("study") / "early.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def test_an_arm_from_an_earlier_step_of_pretraining(
    with_snapshots: Path, finished: Study, tmp_path: Path
) -> None:
    study = open_study(with_snapshots, runs=tmp_path)
    run_study(study)
    pretrain = next(study.store.path(s) for s in study.plan.stages if s.kind == "pretrain")
    assert sorted(p.name for p in (pretrain / "snapshots").iterdir()) == ["step-00000005", "step-00000020"]
    last = next(finished.store.path(s) for s in finished.plan.stages if s.kind == "pretrain")
    name = "model/model.safetensors"
    assert (pretrain / name).read_bytes() == (last / name).read_bytes()
    early, late = load_policy(snapshot_folder(pretrain, 5)), load_policy(pretrain / "model")
    assert not torch.equal(early.embedding, late.embedding)
    # Nothing is rewarded yet, so the arms end where they started.
    for arm, start in (("early", early), ("grpo", late)):
        ended = load_trained(study, find_models(study, arm=arm)[0])[0]
        assert all(torch.equal(t, ended.state_dict()[name]) for name, t in start.state_dict().items())

    # The snapshot's measurement is step 0 of its arm, and the base model's that of the other.
    found = {t.name: t for t in select(trajectories(Run(study.folder)))}
    assert set(found) == {"base", "grpo", "early"}
    tables = {
        arm: pq.read_table(
            study.folder / "completions", filters=[("arm", "=", arm), ("step", "=", 0)]
        )["completion"].to_pylist()
        for arm in found
    }  # fmt: skip
    assert tables["base"] == tables["grpo"] != tables["early"]
    titles = [stage.title for stage in study.plan.stages if stage.kind == "evaluate"]
    assert titles == ["evaluate base pico on even, seed 3", "evaluate step 5 of pico on even, seed 3"]


def test_start_steps_can_be_swept(with_snapshots: Path, tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    data = yaml.safe_load(with_snapshots.read_text())
    path.write_text(yaml.safe_dump({**data, "sweep": {"arms.early.start_step": [5, 20]}}))
    plan = open_study(path).plan
    assert {item.cell.name for item in plan.measured} == {
        "base", "grpo", "early [start_step=5]", "early [start_step=20]",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("arms.early.start_step=6", r"start_step: 6 is not kept.*pretrain\.snapshots has 5, 20: add it"),
        ("arms.early.start_from=grpo", r"also starts from another one \(start_from\)"),
        ("pretrain.snapshots=[20, 5]", r"\[20, 5\]: expected rising numbers"),
        ("pretrain.steps=20", r"snapshots \[20\]: pretraining has 20 steps"),
    ],
)
def test_mistakes_in_snapshots_are_sentences(with_snapshots: Path, change: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_study(with_snapshots, [change])


def test_a_snapshot_after_the_end_is_refused_before_training(with_snapshots: Path, tmp_path: Path) -> None:
    study = open_study(with_snapshots, ["pretrain.snapshots=[5, 900]"], tmp_path / "runs")
    with pytest.raises(InputError, match=r"pretrain\.snapshots \[900\]: pretraining has 4\d steps"):
        run_study(study)
    assert not (tmp_path / "runs").exists()


def test_start_step_needs_pretraining(from_models: Path) -> None:
    with pytest.raises(InputError, match="this study pretrains no model"):
        load_study(from_models, ["arms.grpo.start_step=5"])
