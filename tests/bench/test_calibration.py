"""The invented studies are what they say, and the calibration repeats itself."""

import json

import numpy as np
import pytest

from echochamber.base import no_progress
from echochamber.bench import Settings, run_bench, table
from echochamber.bench.calibration import all_rows
from echochamber.bench.simulated import bimodal, bimodal_truth, design_with


def test_a_world_has_the_share_and_the_spread_of_runs_that_was_asked_for() -> None:
    design = design_with(0.76, 2.6)
    assert design.truth == pytest.approx(0.76, abs=1e-6)
    rng = np.random.default_rng(0)
    (arm,) = design.arms(rng, 1, 2, 4000)
    assert np.mean(arm) == pytest.approx(0.76, abs=0.003)
    chances = design.chances(rng, 1, 2, 4000)[0]
    # Both seeds share the problems and what those are to the arm, so those cancel in the difference.
    deviation = np.std(chances[0].mean(axis=0) - chances[1].mean(axis=0)) / np.sqrt(2)
    assert deviation == pytest.approx(0.026, abs=0.003)


def test_bimodal_shares_have_the_truth_they_claim() -> None:
    (arm,) = bimodal(np.random.default_rng(1), 1, 5, 2000, chance=0.3)
    assert np.mean(arm) == pytest.approx(bimodal_truth(0.3), abs=0.01)
    of_seeds = np.concatenate([seed.mean(axis=0) for seed in arm])
    assert np.mean((of_seeds > 0.2) & (of_seeds < 0.7)) < 0.01


@pytest.mark.long
def test_calibration_is_deterministic_and_says_what_it_promised() -> None:
    first, second = (
        run_bench("calibration", Settings(quick=True, show=no_progress, seed=3)) for _ in range(2)
    )
    assert first == second
    assert json.loads(json.dumps(first, allow_nan=False)) == first
    assert len(first["cells"]) >= len(list(all_rows()))
    shown = [value for line in table(first) for value in list(line.values())[2:] if value]
    assert len(shown) == len(first["cells"])
    assert sum("!" in value for value in shown) == sum(row["met"] is False for row in first["cells"])
    for row in first["cells"]:
        assert 0.0 <= row["percent"] <= 100.0
        assert row["met"] == (
            None if row["target"] is None else row["target"][0] <= row["percent"] <= row["target"][1]
        )
    assert {1, 2, 3, 5, 10} <= {cell.num_seeds for cell in all_rows()}
