"""Endpoints on runs laid out as a study writes them: any cell, any direction, one seed and several."""

import json
from pathlib import Path

import numpy as np
import pytest
from stated_endpoints import ENDPOINTS

from echochamber.analysis import Endpoint, Ratio, Run, endpoint_results, rulings
from echochamber.analysis.endpoint_results import _nothing_varies, _statement
from echochamber.analysis.paired_tests import ratio_test
from synthetic import make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("runs") / "endpoints"
    arms = ("grpo", "ppo", "ei", "random")
    make_run(
        folder, arms=arms, num_points=3, num_problems=50, benchmarks=("test", "deep"), endpoints=ENDPOINTS
    )
    return Run(folder)


def test_outcomes(run: Run) -> None:
    results = {r.endpoint.name: r for r in endpoint_results(run)}
    assert {name: r.ruling for name, r in results.items()} == {
        "accuracy rises": "seen in this run",
        "accuracy falls": "opposite in this run",
        "prose is lost": "seen in this run",
        "the control does nothing": "seen in this run",
        "a tiny effect": "cannot tell",
        "code gets better": "seen in this run",
        "grpo beats the control's vote": "seen in this run",
        "too many": "not measured",
        "no such arm": "not measured",
        "no such format": "not measured",
        "greedily too": "seen in this run",
        "most of it early": "seen in this run",
        "and on from there": "seen in this run",
        "more prose than code": "seen in this run",
        "gains more than the control": "seen in this run",
        "gains more here than there": "cannot tell",
        "code wins": "seen in this run",
        "prose wins": "opposite in this run",
        "the tilt names it": "seen in this run",
        "more code than the tilt expects": "seen in this run",
        "first pass": "not measured",
    }
    rise = results["accuracy rises"]
    assert rise.value is not None and rise.reference is not None and rise.difference is not None
    assert rise.difference.estimate == pytest.approx(rise.value.estimate - rise.reference.estimate)
    assert "no arm 'dpo'" in results["no such arm"].reason
    assert "k 64 exceeds the 8 samples" in results["too many"].reason


def test_several_seeds_give_verdicts_corrected_for_their_number(tmp_path: Path) -> None:
    stated = [
        {"name": "rises", "arm": "grpo"},
        {"name": "falls", "arm": "grpo", "expect": "decrease"},
        {"name": "a control moves", "arm": "random"},
        {"name": "of each size", "arm": "grpo", "minus": {"arm": "random"}},
    ]
    folder = make_run(
        tmp_path / "seeds", arms=("grpo", "random"), seeds=(0, 1, 2), num_points=2, num_problems=50,
        endpoints=stated,
    )  # fmt: skip
    run = Run(folder)
    results = endpoint_results(run)
    assert [r.ruling for r in results] == ["confirmed", "refuted", "undecided", "confirmed"]
    for r in results:
        assert r.num_seeds == 3 and r.p_value is not None and r.adjusted_p is not None
        assert r.adjusted_p >= r.p_value
    last = results[-1]
    assert last.difference is not None and last.value is not None and last.reference is not None
    gain = last.value.estimate - last.reference.estimate
    control = results[2].difference
    assert control is not None and last.difference.estimate == pytest.approx(gain - control.estimate)
    plain = rulings(run)
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


def test_an_endpoint_of_a_swept_arm_has_one_outcome_per_point(tmp_path: Path) -> None:
    points = ("kl=0", "kl=0.1")
    arms = tuple(f"grpo@{point}" for point in points)
    stated = [
        {"name": "all", "arm": "grpo"},
        {"name": "one", "arm": "grpo", "sweep": "kl=0.1", "against": {"sweep": "kl=0"}},
    ]
    folder = make_run(tmp_path / "swept", arms=arms, num_points=2, num_problems=10, endpoints=stated)
    run = Run(folder)
    found = [(r.endpoint.name, r.where) for r in endpoint_results(run)]
    assert found == [(n, f"pico on three, {p}, test") for n, p in
                     (("all", "kl=0"), ("all", "kl=0.1"), ("one", "kl=0.1"))]  # fmt: skip


@pytest.mark.parametrize("num_seeds", [1, 3])
@pytest.mark.parametrize("expect", ["increase", "decrease"])
@pytest.mark.parametrize("margin", [0.0, 0.2])
def test_nothing_against_nothing_is_undecided(num_seeds: int, expect: str, margin: float) -> None:
    endpoint = Endpoint.model_validate({"name": "x", "arm": "grpo", "expect": expect, "margin": margin})
    zero = Ratio.mean([np.zeros((160, 1)) for _ in range(num_seeds)])
    test = ratio_test(zero, zero, crossed=True)
    found = _statement(endpoint, test, nothing_varied=_nothing_varies([zero, zero]))
    assert found.outcome == "open"
    assert test.difference.low < 0.0 < test.difference.high
