from typing import Any

import pytest
from pydantic import ValidationError

from echochamber.analysis import Endpoint, Run, endpoint_results, trajectories
from synthetic import make_run

ENDPOINTS: list[dict[str, Any]] = [
    {"name": "accuracy rises", "arm": "grpo"},
    {"name": "accuracy falls", "arm": "grpo", "expect": "decrease"},
    {"name": "prose is lost", "arm": "grpo", "metric": "share", "format": "boxed", "expect": "decrease"},
    {"name": "the control does nothing", "arm": "random", "expect": "no change", "margin": 0.15},
    {"name": "a tiny effect", "arm": "random", "expect": "no change", "margin": 0.001},
    {"name": "code gets better", "arm": "grpo", "metric": "accuracy", "format": "llm_code", "margin": 0.05},
    {"name": "grpo beats the control's vote", "arm": "grpo", "against": "random", "metric": "maj_at", "k": 8},
    {"name": "too many", "arm": "grpo", "metric": "pass_at", "k": 64},
    {"name": "no such arm", "arm": "dpo"},
    {"name": "no such format", "arm": "grpo", "metric": "share", "format": "gsm8k"},
    {"name": "greedily too", "arm": "grpo", "temperature": 0},
    {"name": "most of it early", "arm": "grpo", "step": 0.1},
    {"name": "and on from there", "arm": "grpo", "against": {"step": 0.1}},
    {
        "name": "more prose than code",
        "arm": "base",
        "metric": "share",
        "format": "boxed",
        "against": {"format": "none"},
    },
    {"name": "gains more than the control", "arm": "grpo", "minus": {"arm": "random"}},
    {"name": "gains more here than there", "arm": "grpo", "minus": {"benchmark": "deep"}},
    {"name": "code wins", "arm": "grpo", "metric": "winner", "format": "llm_code"},
    {"name": "prose wins", "arm": "grpo", "metric": "winner", "format": "boxed"},
    {"name": "the tilt names it", "arm": "grpo", "metric": "winner", "forecast": "tilt"},
    {
        "name": "more code than the tilt expects",
        "arm": "grpo",
        "metric": "share",
        "format": "llm_code",
        "against": {"forecast": "tilt"},
    },
    {"name": "first pass", "arm": "grpo", "step": "first_pass"},
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("runs") / "endpoints"
    arms = ("grpo", "ppo", "ei", "random")
    make_run(
        folder, arms=arms, num_points=3, num_problems=50, benchmarks=("test", "deep"), endpoints=ENDPOINTS
    )
    return Run(folder)


def test_outcomes(run: Run) -> None:
    results = {r.endpoint.name: r for r in endpoint_results(run, trajectories(run))}
    assert {name: r.verdict for name, r in results.items()} == {
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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metric": "share"}, "needs a format"),
        ({"format": "boxed"}, "remove format: boxed"),
        ({"metric": "share", "format": "boxed", "k": 4}, "has no k"),
        ({"against": "grpo"}, "compared with itself"),
        ({"expect": "no change"}, "needs a margin above 0"),
        ({"metirc": "share"}, "Extra inputs"),
        ({"against": {"step": "last"}, "step": "last"}, "compared with itself"),
        ({"minus": {"arm": "grpo"}}, "subtracted from itself"),
        ({"metric": "winner"}, "either a format or a forecast"),
        ({"metric": "winner", "format": "boxed", "against": "ppo"}, "remove against"),
        ({"forecast": "tilt"}, "metric: share with forecast: tilt"),
        ({"step": 1.5}, "fraction between 0 and 1"),
        ({"step": -1}, "0 or more"),
        ({"step": "final"}, "Input should be"),
    ],
)
def test_endpoints_that_make_no_sense_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Endpoint.model_validate({"name": "x", "arm": "grpo", **changes})
