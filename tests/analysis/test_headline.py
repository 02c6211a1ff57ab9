"""What happened to the formats of an arm, in words."""

import pytest

from echochamber.analysis import (
    Run,
    headline,
    percent,
    select,
    trajectories,
)
from echochamber.analysis.headline import seeds_won


def test_headline(run: Run) -> None:
    found = {t.name: headline(t) for t in select(trajectories(run)) if not t.is_base}
    grpo = found["grpo"]
    assert "boxed" in {c.name for c in grpo.lost}
    assert grpo.winner is not None and grpo.winner.name == "llm_code" and grpo.took_over
    assert "llm_code took over" in grpo.sentences()[0]
    assert not found["random"].lost and not found["random"].took_over
    assert "within the noise" in " ".join(found["random"].sentences())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0 %"),
        (1.0, "100 %"),
        (1.0 - 1e-15, "100 %"),
        (0.995, "99.5 %"),
        (0.9996, "> 99.9 %"),
        (0.0004, "< 0.1 %"),
        (0.0994, "9.9 %"),
        (0.0996, "10 %"),
        (0.39, "39 %"),
        (float("nan"), "–"),
    ],
)
def test_only_all_is_100_percent_and_only_none_is_0(value: float, text: str) -> None:
    assert percent(value) == text.replace(" ", "\u00a0")


def test_one_seed_is_described_as_one_run(run: Run, seeds_run: Run) -> None:
    one, three = (
        next(headline(t) for t in select(trajectories(r)) if t.name == "grpo") for r in (run, seeds_run)
    )
    assert one.sentences()[0].startswith("In this run")
    assert "of 1 runs" not in " ".join(one.sentences())
    assert "In this run" not in " ".join(three.sentences())
    # The winner won in all three seeds: 29 % is the lower end of 3 of 3 by hand, 0.025 ** (1 / 3).
    counted = "first in 3 of 3 runs, which is consistent with 29 to 100 % of all training runs"
    assert counted in three.sentences()[0]
    assert three.winner is not None
    others = [seeds_won(three.trajectory, name) for name in three.trajectory.formats]
    assert sum(others) == 3 == seeds_won(three.trajectory, three.winner.name)
