"""One very small study, run once for the tests that only look at it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from echochamber import report
from echochamber.analysis import Run
from echochamber.study import Study, export_model, open_study, run_study

TINY = """
study: tiny
seed: 3
tasks:
  test: {kind: word_problems, num_problems: 12, levels: [1], largest: 9}
  train: {kind: word_problems, num_problems: 16, levels: [1], largest: 9}
sources:
  code: {kind: word_problems, format: tinygsm, levels: [1], largest: 9}
  prose: {kind: word_problems, format: boxed, levels: [1], largest: 9}
tokenizer: {vocab_size: 300}
mixtures:
  even: {kind: controlled, tokens: 6000, shares: {code: 0.5, prose: 0.5}}
model: {sizes: [pico], context_length: 96}
pretrain:
  batch_size: 4
  sequence_length: 32
  optimizer: {learning_rate: 4e-3, warmup_steps: 2}
evaluation: {benchmarks: [test], num_samples: 2, max_new_tokens: 24, num_points: 3}
arms:
  grpo:
    algorithm: grpo
    task: train
    steps: 2
    prompts_per_step: 4
    prompts_per_update: null
    samples_per_prompt: 4
    max_new_tokens: 24
    kl_coefficient: 0
"""


@pytest.fixture(scope="session")
def tiny_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("studies") / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="session")
def finished(tiny_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = open_study(tiny_file, runs=tmp_path_factory.mktemp("runs"))
    run_study(study)
    return study


@pytest.fixture
def quick_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page and a figure in place of the report, whose drawing takes most of a run's time."""

    def render(run: Path | Run) -> Path:
        folder = run.folder if isinstance(run, Run) else run
        (folder / "figures").mkdir(exist_ok=True)
        for name in ("report.html", "figures/shares.png"):
            (folder / name).write_text(name)
        return folder / "report.html"

    monkeypatch.setattr(report, "render", render)


@pytest.fixture
def copy(finished: Study, tiny_file: Path, tmp_path: Path, quick_report: None) -> Study:
    """A finished run of its own for each test."""
    shutil.copytree(finished.folder, tmp_path / "tiny", ignore=shutil.ignore_patterns("figures"))
    study = open_study(tiny_file, runs=tmp_path)
    run_study(study)
    return study


@pytest.fixture(scope="session")
def exported(finished: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "grpo"
    export_model(finished, folder, arm="grpo")
    return folder
