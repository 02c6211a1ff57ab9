"""Which groups dynamic sampling replaces, and by what."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rl_arms import arm, read
from rl_toy import ToyGrader, train_toy

from echochamber.rl.dynamic_sampling import further_questions
from echochamber.verify import Outcome, Verdict


def test_each_further_draw_asks_others() -> None:
    assert len(set(further_questions(7, 0, 1, 6, 20))) == 6
    assert further_questions(7, 0, 1, 6, 20) != further_questions(7, 0, 2, 6, 20)


def test_dynamic_sampling_finds_groups_with_signal(tmp_path: Path) -> None:
    train_toy(arm("dapo", tmp_path, dynamic_sampling=5), tmp_path)
    rows = read(tmp_path)
    drawn = [row["samples_seen"] for row in rows]
    assert drawn[0] > 24 and drawn == sorted(drawn)
    assert all(row["grad_norm"] > 0 for row in rows)


class Unmoved(ToyGrader):
    """Finds every answer equally right."""

    def __init__(self, reward: float) -> None:
        super().__init__()
        self.verdict = Verdict("boxed", Outcome.correct if reward else Outcome.wrong, "a", reward)

    def grade(self, completions: Sequence[str], golds: Sequence[str], **_: Any) -> list[Verdict]:
        return [self.verdict] * len(completions)


@pytest.mark.parametrize("reward", [0.0, 1.0])
def test_dynamic_sampling_looks_at_correctness_and_not_at_what_was_paid(
    tmp_path: Path, reward: float
) -> None:
    """With a penalty on length the pay of a group differs; if all are right or all wrong, it is replaced."""
    config = arm("dapo", tmp_path, dynamic_sampling=2, length_penalty=0.5)
    train_toy(config, tmp_path, grader=Unmoved(reward))
    row = read(tmp_path)[0]
    assert row["no_signal_fraction"] < 1  # the pay does differ
    assert row["samples_seen"] == 3 * 24
