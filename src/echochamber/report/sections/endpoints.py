"""Named before the run: the comparisons that the study file commits to, and their outcomes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from echochamber.analysis import Endpoint, EndpointResult, Place, endpoint_results
from echochamber.report.material import Material
from echochamber.report.section import Fragment, register_section

_METRICS = {
    "pass_at": "pass@{k}",
    "maj_at": "maj@{k}",
    "share": "share of {format}",
    "accuracy": "accuracy of {format}",
    "winner": "lead over every other format",
}
_TEMPLATE = """
<p class="quiet">The study file commits to these comparisons, which are worth most if they were written down
before any result was seen. Everything else on this page is exploration: among many comparisons some look
real by chance. Outcomes and p-values are corrected for the number of these comparisons (Holm); the intervals
are not.</p>
<table class="cards endpoints">
  <thead><tr><th>endpoint</th><th>outcome</th><th>expected</th><th>difference, points</th><th>arm</th>
    <th>against</th></tr></thead>
  <tbody>
  {% for row in rows %}
  {% set e = row.result %}
  <tr><td><b>{{ e.endpoint.name }}</b><br><span class="quiet">{{ row.metric }}; {{ e.where }}</span></td>
    <td data-label="outcome"><span class="ruling {{ e.ruling | ruling_class }}">{{ e.ruling }}</span></td>
    <td data-label="expected">{{ e.endpoint.expect }}
      {%- if e.endpoint.margin %}, margin {{ e.endpoint.margin | points("") | replace("+", "") }}
      {%- endif %}</td>
    {% if e.difference %}
    <td data-label="difference, points" class="number">{{ e.difference | change }}
      {%- if e.adjusted_p is not none %}<br><span class="quiet">p {{ e.adjusted_p | p_value }}</span>
      {%- endif %}</td>
    <td data-label="arm">{{ row.arm }} {{ e.value | interval }}</td>
    <td data-label="against">{{ row.against }} {{ e.reference | interval }}</td>
    {% else %}<td data-label="why" colspan="3">{{ e.reason }}</td>{% endif %}</tr>
  {% endfor %}
  </tbody>
</table>
"""


@register_section("endpoints", "Named before the run", short="Endpoints", order=10)
def endpoints(material: Material) -> Iterator[Fragment]:
    rows = endpoint_rows(endpoint_results(material.run))
    if rows:
        yield Fragment(_TEMPLATE, {"rows": rows})


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
        against += f", minus the same difference at {place_text(endpoint.minus)}"
    return {"metric": metric, "arm": place_text(own), "against": against}


def place_text(place: Place) -> str:
    """The keys that a place states, except format and k, in a few words."""
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
