import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from echochamber.analysis import Run
from synthetic import make_run


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with three arms and one seed."""
    return Run(
        make_run(tmp_path_factory.mktemp("runs") / "one-seed", arms=("grpo", "ei", "random"), num_points=5)
    )


@pytest.fixture(scope="session")
def seeds_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with two arms and three seeds."""
    folder = tmp_path_factory.mktemp("runs") / "three-seeds"
    return Run(make_run(folder, arms=("grpo", "random"), seeds=(0, 1, 2), num_points=3, num_problems=40))
