"""Endpoints in words, and their results."""

import pytest

from echochamber.analysis import Endpoint, EndpointResult
from echochamber.analysis.endpoints import Place
from echochamber.report.html import block_html
from echochamber.report.material import Material
from echochamber.report.sections.endpoints import endpoint_rows, endpoints, place_text
from echochamber.report.texts import change_text


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
        ({"minus": {"size": "150m"}}, "pass@1", "base, minus the same difference at 150m"),
        ({"metric": "winner", "format": "boxed"}, "lead over every other format", "the closest other format"),
    ],
)
def test_an_endpoint_in_words(stated: dict[str, object], metric: str, against: str) -> None:
    endpoint = Endpoint.model_validate({"name": "claim", "arm": "grpo", **stated})
    result = EndpointResult(endpoint, "pico on even, test", None, None, None, "not measured", "no such arm")
    assert endpoint_rows([result]) == [
        {"result": result, "metric": metric, "arm": "grpo", "against": against}
    ]


def test_the_result_of_an_endpoint_is_shown_beside_it(material: Material, bare: Material) -> None:
    [block] = endpoints(material)
    text = block_html(block)
    gain = material.primary[0].arms[0].gain().difference
    assert "accuracy rises" in text and "seen in this run" in text and change_text(gain) in text
    assert list(endpoints(bare)) == []
