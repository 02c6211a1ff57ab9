"""Claims from the literature and from this project, and what the run says about each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from echochamber.analysis import Finding, findings
from echochamber.report.material import Material
from echochamber.report.section import ARMS, Fragment, register_section

_TEMPLATE = """
<p class="quiet">Each statement is tested at steps fixed in advance, never at the best of several, against the
null that it is false. <i>Inconclusive</i> means that the data exclude neither. {% if one_seed %}One seed says
nothing about algorithms, sizes or mixtures: the numbers are those of this run.{% endif %}</p>
{% for group in groups %}
<h3>{{ group.title }}</h3>
<table class="plain wide"><tbody>
{% for f in group.tested %}
<tr><td><span class="ruling {{ f.ruling | ruling_class }}">{{ f.ruling }}</span></td>
  <td><b>{{ f.statement }}</b><br><span class="quiet">{{ f.evidence }}
  {%- if f.p_value is not none %} (p {{ f.p_value | p_value }}, {{ f.num_seeds }} seeds; null: {{ f.null }})
  {%- endif %}</span></td></tr>
{% endfor %}
</tbody></table>
{% for f in group.untested %}
{% if loop.first %}<p class="quiet">Not testable here, because the run lacks:</p>
<ul class="findings quiet">{% endif %}
<li>{{ f.reason }}: {{ f.statement }}</li>{% if loop.last %}</ul>{% endif %}
{% endfor %}
{% endfor %}
"""


@register_section(
    "statements",
    "Statements, and what this run says about them",
    short="Statements",
    order=100,
    needs=[ARMS],
)
def statements(material: Material) -> Iterator[Fragment]:
    groups = findings_by_source(findings(material.run))
    if groups:
        yield Fragment(_TEMPLATE, {"groups": groups, "one_seed": material.num_seeds == 1})


def findings_by_source(found: Sequence[Finding]) -> list[dict[str, Any]]:
    """Statements by their source; those without any numbers in this run are listed separately."""
    groups: dict[str, dict[str, Any]] = {}
    for f in found:
        title = f"Statements of {f.source}"
        group = groups.setdefault(title, {"title": title, "tested": [], "untested": []})
        group["tested" if f.evidence else "untested"].append(f)
    return list(groups.values())
