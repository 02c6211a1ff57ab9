"""Comparisons between arms."""

from echochamber.analysis import (
    Run,
    compare_arms,
    select,
    trajectories,
)


def test_verdicts_about_arms_need_seeds(run: Run, seeds_run: Run) -> None:
    for r, about, words in (
        (run, "runs", {"these two runs differ on these problems", "these two runs cannot be told apart"}),
        (seeds_run, "trainings", {"different", "cannot tell"}),
    ):
        pairs = compare_arms([t for t in select(trajectories(r)) if not t.is_base])
        assert {p.about for p in pairs} == {about}
        assert {p.distinction for p in pairs} <= words


def test_arms_against_each_other(run: Run) -> None:
    arms = [t for t in select(trajectories(run)) if not t.is_base]
    pairs = {(c.first.name, c.second.name): c for c in compare_arms(arms)}
    assert set(pairs) == {("grpo", "ei"), ("grpo", "random"), ("ei", "random")}
    assert pairs["grpo", "random"].test.difference.low > 0
    assert not pairs["grpo", "random"].inside_noise
    assert all(c.adjusted_p >= c.test.p_value for c in pairs.values())
