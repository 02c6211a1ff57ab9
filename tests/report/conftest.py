import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from recorded_run import ALARM, OPINION, probabilities

from echochamber.analysis import Run
from echochamber.report.material import Material
from synthetic import make_run


def _write(run: Path) -> Material:
    (run / "alarms.jsonl").write_text(json.dumps(ALARM) + "\n", encoding="utf-8")
    rows = [json.dumps(row) for row in probabilities()]
    (run / "format_probabilities.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (run / "second_opinion.json").write_text(json.dumps(OPINION), encoding="utf-8")
    return Material(Run(run))


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """One seed; a rewarded arm, its control and a third; two benchmarks; everything that may be recorded."""
    return _write(
        make_run(
            tmp_path_factory.mktemp("runs") / "one-seed",
            arms=("grpo", "random", "ppo"),
            benchmarks=("test", "deep"),
            num_points=4,
            num_problems=20,
            num_samples=4,
            endpoints=({"name": "accuracy rises", "arm": "grpo"},),
        )
    )


@pytest.fixture(scope="session")
def several(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """Three seeds of one rewarded arm and its control on one benchmark."""
    return _write(
        make_run(
            tmp_path_factory.mktemp("runs") / "three-seeds",
            arms=("grpo", "random"),
            seeds=(0, 1, 2),
            num_points=3,
            num_problems=20,
            num_samples=4,
        )
    )


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """A base model, and nothing else."""
    return Material(
        Run(make_run(tmp_path_factory.mktemp("runs") / "bare", arms=(), num_points=2, num_problems=10))
    )
