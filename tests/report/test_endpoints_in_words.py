"""Endpoints and findings in words."""

import pytest

from echochamber.analysis import Endpoint, EndpointResult, Finding
from echochamber.analysis.endpoints import Place
from echochamber.report.sections.endpoints import endpoint_rows, place_text
from echochamber.report.sections.statements import findings_by_source


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ({"arm": "grpo"}, "grpo"),
        ({"arm": "grpo", "temperature": 0}, "grpo, greedy"),
        ({"arm": "ppo", "step": "first_pass"}, "ppo, after one pass"),
        ({"arm": "ppo", "step": 10, "size": "1b"}, "ppo, 1b, step 10"),
        ({"arm": "ppo", "step": 0.5}, "ppo, at 0.5 of its steps"),
        ({"arm": "ppo", "sweep": "kl_coefficient=0.01", "step": "last"}, "ppo, kl_coefficient=0.01"),
        ({"arm": "ppo", "benchmark": "aime", "forecast": "tilt"}, "ppo, aime, as expected by tilt"),
    ],
)
def test_a_place_in_words(stated: dict[str, object], words: str) -> None:
    assert place_text(Place.model_validate(stated)) == words


@pytest.mark.parametrize(
    ("stated", "metric", "against"),
    [
        ({}, "pass@1", "base"),
        ({"against": "ppo", "k": 8}, "pass@8", "ppo"),
        ({"metric": "share", "format": "boxed"}, "share of boxed", "base"),
        ({"against": {"step": "first_pass"}}, "pass@1", "grpo, after one pass"),
        ({"minus": {"size": "150m"}}, "pass@1", "base, less the same at 150m"),
        ({"metric": "winner", "format": "boxed"}, "lead over every other format", "the closest other format"),
    ],
)
def test_an_endpoint_in_words(stated: dict[str, object], metric: str, against: str) -> None:
    endpoint = Endpoint.model_validate({"name": "claim", "arm": "grpo", **stated})
    result = EndpointResult(endpoint, "pico on even, test", None, None, None, "not measured", "no such arm")
    assert endpoint_rows([result]) == [
        {"result": result, "metric": metric, "arm": "grpo", "against": against}
    ]


def test_statements_stand_under_whoever_made_them() -> None:
    def finding(key: str, source: str, evidence: str) -> Finding:
        return Finding(key, key, source, "nothing", "not testable", evidence, "seeds")

    theirs, ours, lacking = (
        finding("one", "Zhao et al.", "in this run"), finding("two", "this project", "in this run"),
        finding("three", "Zhao et al.", ""),
    )  # fmt: skip
    assert findings_by_source([theirs, ours, lacking]) == [
        {"title": "Statements of Zhao et al.", "tested": [theirs], "untested": [lacking]},
        {"title": "Statements of this project", "tested": [ours], "untested": []},
    ]
