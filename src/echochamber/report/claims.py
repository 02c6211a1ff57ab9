"""Endpoints and findings as rows of the page's tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from echochamber.analysis import Endpoint, EndpointResult, Finding
from echochamber.analysis.endpoints import Place

_METRICS = {
    "pass_at": "pass@{k}",
    "maj_at": "maj@{k}",
    "share": "share of {format}",
    "accuracy": "accuracy of {format}",
    "winner": "lead over every other format",
}


def endpoint_rows(results: Sequence[EndpointResult]) -> list[dict[str, Any]]:
    """What was compared in words, beside each result."""
    return [{"result": r, **_compared(r.endpoint)} for r in results]


def _compared(endpoint: Endpoint) -> dict[str, str]:
    own = endpoint.own
    metric = _METRICS[endpoint.metric].format(k=own.k or 1, format=own.format)
    if endpoint.metric == "winner":
        return {"metric": metric, "arm": place_text(own), "against": "the closest other format"}
    against = place_text(endpoint.reference.model_copy(update={"arm": endpoint.reference.arm or own.arm}))
    if endpoint.minus is not None:
        against += f", less the same at {place_text(endpoint.minus)}"
    return {"metric": metric, "arm": place_text(own), "against": against}


def place_text(place: Place) -> str:
    """The keys that a place states, but for format and k, in a few words."""
    parts = [place.arm, place.size, place.mixture, place.sweep, place.benchmark]
    if place.step == "first_pass":
        parts.append("after one pass")
    elif isinstance(place.step, float):
        parts.append(f"at {place.step:g} of its steps")
    elif place.step not in (None, "last"):
        parts.append(f"step {place.step}")
    if place.temperature is not None:
        parts.append("greedy" if place.temperature == 0 else f"T = {place.temperature:g}")
    if place.forecast is not None:
        parts.append(f"as expected by {place.forecast}")
    return ", ".join(part for part in parts if part)


def findings_by_source(found: Sequence[Finding]) -> list[dict[str, Any]]:
    """Statements under the name of whoever made them; those without any numbers in this run apart."""
    groups: dict[str, dict[str, Any]] = {}
    for f in found:
        title = f"Statements of {f.source}"
        group = groups.setdefault(title, {"title": title, "tested": [], "untested": []})
        group["tested" if f.evidence else "untested"].append(f)
    return list(groups.values())
