"""One very small study, run once for the tests that only look at it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tiny_study import TINY

from echochamber import report
from echochamber.analysis import Run
from echochamber.study import Study, export_model, open_study, run_study


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
    """A page and a figure instead of the report, which takes most of a run's time to draw."""

    def render(run: Path | Run) -> Path:
        folder = run.folder if isinstance(run, Run) else run
        (folder / "figures").mkdir(exist_ok=True)
        for name in ("report.html", "figures/shares.png"):
            (folder / name).write_text(name)
        return folder / "report.html"

    monkeypatch.setattr(report, "render", render)


@pytest.fixture
def copy(finished: Study, tiny_file: Path, tmp_path: Path, quick_report: None) -> Study:
    """A finished run for each test, which may change it."""
    shutil.copytree(finished.folder, tmp_path / "tiny", ignore=shutil.ignore_patterns("figures"))
    study = open_study(tiny_file, runs=tmp_path)
    run_study(study)
    return study


@pytest.fixture(scope="session")
def exported(finished: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "grpo"
    export_model(finished, folder, arm="grpo")
    return folder
