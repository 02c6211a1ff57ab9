"""What a study may commit to, and what makes no sense."""

from typing import Any

import pytest
from pydantic import ValidationError
from stated_endpoints import ENDPOINTS

from echochamber.analysis import Endpoint


@pytest.mark.parametrize("stated", ENDPOINTS, ids=lambda stated: stated["name"])
def test_an_endpoint_survives_the_resolved_study(stated: dict[str, Any]) -> None:
    endpoint = Endpoint.model_validate(stated)
    again = Endpoint.model_validate(endpoint.model_dump(mode="json"))
    assert again == endpoint and again.places == endpoint.places


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
        ({"minus": {"arm": "base"}}, "compared with itself"),
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
