"""How much of a sampled gain greedy decoding shows: worked cases for each of the four answers."""

from pathlib import Path

import numpy as np
import pytest

from echochamber.analysis import Run, Trajectory, greedy_twin, sharpening, trajectories
from echochamber.analysis.trajectories import Counts
from synthetic import cell_of, make_run

NUM_PROBLEMS = 200


def arm(correct: list[np.ndarray], num_samples: int, *, greedy: bool) -> Trajectory:
    """One format, two steps; `correct` holds how many samples of each problem are right at each step."""
    right_PT = np.stack(correct, axis=1).astype(float)
    completions_PTF = np.full((*right_PT.shape, 1), float(num_samples))
    problems = tuple(f"p{i:03d}" for i in range(NUM_PROBLEMS))
    counts = Counts(0, problems, completions_PTF, right_PT[..., None], right_PT)
    cell = cell_of("grpo", "pico", "even", 0, "test").over_seeds()
    return Trajectory(cell, greedy, (0, 10), ("boxed",), (counts,), cell.base())


def first(part: float) -> np.ndarray:
    """1 on the first part of the problems, 0 on the others."""
    return (np.arange(NUM_PROBLEMS) < part * NUM_PROBLEMS).astype(float)


def kind_of(tmp_path: Path, sampled: list[np.ndarray], greedy: list[np.ndarray]) -> tuple[str, str]:
    run = Run(make_run(tmp_path / "run", arms=("grpo",), mixtures=("even",), num_points=2, num_problems=3))
    t, twin = arm(sampled, 8, greedy=False), arm(greedy, 1, greedy=True)
    found = sharpening(run, t, [t, twin])
    assert found is not None
    return found.kind, found.sentence()


def test_a_gain_that_greedy_decoding_had_already_is_sharpening(tmp_path: Path) -> None:
    """Sampled 50 -> 95 %, greedy 92 -> 95 %: 3 of 45 points are new."""
    kind, sentence = kind_of(tmp_path, [4 * first(1.0), 8 * first(0.95)], [first(0.92), first(0.95)])
    assert kind == "mostly sharpening"
    assert "Decoded greedily: 92.0\u00a0% right before, 95.0\u00a0% after (+3.0 points)" in sentence
    assert "most of the +45.0 points at T = 1 is sharpening" in sentence


def test_a_gain_that_greedy_decoding_shares_is_more(tmp_path: Path) -> None:
    """Sampled 30 -> 90 %, greedy 35 -> 95 %."""
    kind, sentence = kind_of(tmp_path, [8 * first(0.3), 8 * first(0.9)], [first(0.35), first(0.95)])
    assert kind == "mostly more"
    assert "most of the +60.0 points at T = 1 is more than sharpening" in sentence


def test_half_of_a_gain_is_undecided(tmp_path: Path) -> None:
    """Sampled 40 -> 80 %, greedy 60 -> 80 %: exactly half, give or take the choice of problems."""
    kind, sentence = kind_of(tmp_path, [8 * first(0.4), 8 * first(0.8)], [first(0.6), first(0.8)])
    assert kind == "cannot tell"
    assert "cannot tell" in sentence


def test_without_a_gain_nothing_is_said_about_it(tmp_path: Path) -> None:
    kind, sentence = kind_of(tmp_path, [8 * first(0.5), 8 * first(0.5)], [first(0.9), first(0.4)])
    assert kind == "no gain"
    assert sentence == "Decoded greedily: 90\u00a0% right before, 40\u00a0% after (-50.0 points)."


def test_a_loss_is_no_gain(tmp_path: Path) -> None:
    assert kind_of(tmp_path, [8 * first(0.9), 8 * first(0.2)], [first(0.9), first(0.2)])[0] == "no gain"


def test_greedy_twins_are_found_in_a_run(run: Run) -> None:
    found = trajectories(run)
    for t in found:
        twin = greedy_twin(t, found)
        assert twin is not None and twin.greedy
        assert (twin.cell, twin.steps) == (t.cell, t.steps)
    assert greedy_twin(found[0], [t for t in found if not t.greedy]) is None


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_sharpening_of_a_run_s_arms(tmp_path: Path, seeds: tuple[int, ...]) -> None:
    run = Run(make_run(tmp_path / "run", arms=("grpo", "random"), seeds=seeds, num_points=2, num_problems=40))
    found = trajectories(run)
    kinds = {
        t.name: told.kind
        for t in found
        if not t.greedy and not t.is_base and (told := sharpening(run, t, found)) is not None
    }
    assert kinds["random"] == "no gain"
    assert kinds["grpo"] != "no gain"
