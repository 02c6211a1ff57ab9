from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from echochamber.analysis import Endpoint, Run, endpoint_results, findings, trajectories
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
        "accuracy rises": "confirmed",
        "accuracy falls": "refuted",
        "prose is lost": "confirmed",
        "the control does nothing": "confirmed",
        "a tiny effect": "undecided",
        "code gets better": "confirmed",
        "grpo beats the control's vote": "confirmed",
        "too many": "not measured",
        "no such arm": "not measured",
        "no such format": "not measured",
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
    ],
)
def test_endpoints_that_make_no_sense_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Endpoint.model_validate({"name": "x", "arm": "grpo", **changes})


def test_findings(run: Run) -> None:
    answers = {f.statement: f for f in findings(run)}
    by_start = {statement[:24]: f.answer for statement, f in answers.items()}
    assert by_start["GRPO converges to the sa"] == "holds"
    assert by_start["Expert Iteration lags be"] == "holds"
    assert by_start["A reward without signal "] == "holds"
    assert by_start["RL does not bring out a "] == "holds"
    assert by_start["RL on one set of questio"] == "holds"
    assert by_start["A larger KL coefficient "] == "not tested"
    assert by_start["The size of the model ch"] == "not tested"
    assert all(f.evidence for f in answers.values() if f.answer != "not tested")


def test_findings_of_a_run_in_which_nothing_happened(tmp_path: Path) -> None:
    run = Run(make_run(tmp_path / "null", arms=("grpo", "ppo"), num_points=3, num_problems=30, strength=0.0))
    answers = {f.statement[:24]: f.answer for f in findings(run)}
    assert answers["One format takes over wi"] != "holds"
    assert answers["The winner is neither si"] == "not tested"
    assert answers["Tilting the base model b"] == "not tested"


def test_larger_kl_keeps_minorities(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "kl", arms=("grpo", "ei"), num_points=2, num_problems=50)
    text = (folder / "study.yaml").read_text()
    # The milder arm stands for one with a larger coefficient.
    text = text.replace("algorithm: expert_iteration", "algorithm: grpo\n    kl_coefficient: 0.01")
    text = text.replace("algorithm: grpo\n    task", "algorithm: grpo\n    kl_coefficient: 0.0\n    task", 1)
    (folder / "study.yaml").write_text(text)
    answers = {f.statement[:24]: f.answer for f in findings(Run(folder))}
    assert answers["A larger KL coefficient "] == "holds"
