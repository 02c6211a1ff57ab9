"""Completions to read side by side: the same problem before RL and after it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from echochamber.analysis import WHERE_CELL, Run, Trajectory, of_cell
from echochamber.report.material import ArmGroup, Material
from echochamber.report.palette import format_colors
from echochamber.report.section import Fragment, register_section
from echochamber.report.texts import shortened

MAX_TEXT = 1600
MAX_ANSWER = 200
MAX_SHOWN = 24
_TEMPLATE = """
<p class="quiet">The first sample for problems evenly spaced through the set, chosen by their position and
never by their outcome. The base model and the arms used the same random numbers.</p>
{% for block in blocks %}
{% if blocks | length > 1 %}<h3>{{ block.title }}</h3>{% endif %}
{% for problem in block.problems %}
<details class="example"{% if loop.index <= 4 and block is sameas blocks[0] %} open{% endif %}>
  <summary>{{ problem.question }} <span class="dots">
    {%- for c in problem.completions %}<i title="{{ c.arm }}: {{ c.format }}, {{ c.outcome }}"
      class="{{ 'right' if c.correct else 'wrong' }}" style="--mark: {{ colors.get(c.format, '#888') }}"></i>
    {%- endfor %}</span></summary>
  <p class="gold">Answer: <b>{{ problem.gold }}</b>
    {%- if problem.level %}, {{ problem.level }} operation{{ "s" if problem.level != 1 }}{% endif %}</p>
  {% set num = problem.completions | length %}
  <div class="columns{{ ' many' if num == 5 }}{{ ' crowded' if num > 5 }}">
  {% for c in problem.completions %}
    <div class="written" style="--mark: {{ colors.get(c.format, '#888') }}">
      <div class="head"><b>{{ c.arm }}</b>{% if c.step %} step {{ c.step }}{% endif %}
        <span class="chip">{{ c.format }}</span>
        <span class="outcome {{ 'right' if c.correct else 'wrong' }}">{{ "✓" if c.correct else "✗" }}
          {{ c.outcome }}
        {%- if c.answer is not none and not c.correct %}: {{ c.answer }}{% endif %}</span></div>
      <pre>{{ c.text }}</pre>
    </div>
  {% endfor %}
  </div>
</details>
{% endfor %}
{% endfor %}
"""


@register_section("completions", "Completions, before and after", short="Completions", order=110)
def completions(material: Material) -> Iterator[Fragment]:
    per_group = max(2, MAX_SHOWN // (2 * len(material.primary)))
    blocks = [
        {"title": group.title, "problems": shown_problems(material.run, group, num_problems=per_group)}
        for group in material.primary
    ]
    yield Fragment(_TEMPLATE, {"blocks": blocks, "colors": format_colors(material.formats)})


@dataclass(frozen=True)
class ShownCompletion:
    """One completion of an arm at a step, as the page shows it."""

    arm: str
    step: int
    format: str
    outcome: str
    answer: str | None
    text: str

    @property
    def correct(self) -> bool:
        """Whether it was graded as correct."""
        return self.outcome == "correct"


@dataclass(frozen=True)
class ShownProblem:
    """One problem with the completions of the base model and of each arm."""

    question: str
    gold: str
    level: int
    completions: tuple[ShownCompletion, ...]


_PROBLEMS = f"""
    SELECT problem_id FROM completions
    WHERE {WHERE_CELL}
      AND greedy = $greedy AND seed = $seed AND step = $step AND sample = 0
    ORDER BY filename, file_row_number
"""
_TEXTS = f"""
    SELECT problem_id, question, gold, level, format, outcome, answer, completion FROM completions
    WHERE {WHERE_CELL}
      AND greedy = $greedy AND seed = $seed AND step = $step AND sample = 0
      AND list_contains($problems, problem_id)
"""


def shown_problems(run: Run, group: ArmGroup, *, num_problems: int) -> list[ShownProblem]:
    """The first sample of the first seed for problems evenly spaced through the set.

    The problems are chosen by their position, never by their outcome.
    """
    base = group.base
    drawn = {"greedy": base.greedy, "seed": base.counts[0].seed}
    first_step = of_cell(base.cell) | drawn | {"step": base.steps[0]}
    listed = run.query(_PROBLEMS, first_step)["problem_id"].to_pylist()
    count = min(num_problems, len(listed))
    problems = [listed[i * len(listed) // count] for i in range(count)]
    found = {t.model: _texts(run, t, drawn, problems) for t in group.members}
    shown = []
    for problem in problems:
        first = found[base.model][problem]
        written = tuple(
            _completion(t, found[t.model][problem]) for t in group.members if problem in found[t.model]
        )
        question, gold = shortened(first["question"], MAX_TEXT), shortened(first["gold"], MAX_ANSWER)
        shown.append(ShownProblem(question, gold, first["level"], written))
    return shown


def _texts(run: Run, t: Trajectory, drawn: dict[str, Any], problems: list[str]) -> dict[str, dict[str, Any]]:
    wanted = of_cell(t.cell) | drawn | {"step": t.steps[-1], "problems": problems}
    table = run.query(_TEXTS, wanted)
    return {row["problem_id"]: row for row in table.to_pylist()}


def _completion(t: Trajectory, row: dict[str, Any]) -> ShownCompletion:
    step = 0 if t.is_base else t.steps[-1]
    answer = None if row["answer"] is None else shortened(row["answer"], MAX_ANSWER)
    text = shortened(row["completion"], MAX_TEXT)
    return ShownCompletion(t.name, step, row["format"], row["outcome"].replace("_", " "), answer, text)
