"""A section of the report in one file: how long the answers of each arm are.

`echochamber report demo --module examples/answer_lengths.py` shows it on the page of a finished run, between
"The arms compared" and "What theory expected". A study may also name this file under `modules:`. Tested in
tests/report/test_section.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle

from echochamber import register_section
from echochamber.report import Figure, Material, Panel, Series, Table

COLORS = ("#785EF0", "#DC267F", "#FE6100", "#2D9C9C")
LENGTHS = """
    SELECT arm, step, avg(num_tokens) AS mean FROM completions
    WHERE NOT greedy GROUP BY arm, step ORDER BY arm, step
"""


@register_section("lengths", "How long the answers are", short="Lengths", order=45)
def lengths(material: Material) -> Iterator[Figure | Table]:
    """A line per arm over its steps, and a table of the last step."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in material.run.query(LENGTHS).to_pylist():
        lines.setdefault(row["arm"], []).append((float(row["step"]), row["mean"]))
    series = tuple(
        Series(arm, tuple(step for step, _ in points), tuple(mean for _, mean in points), color)
        for color, (arm, points) in zip(cycle(COLORS), lines.items(), strict=False)
    )
    yield Figure(
        "lengths",
        "Mean length of a sampled answer",
        "Over all sampled completions of an arm, whatever their size, mixture and benchmark.",
        (Panel("all arms", series, "RL step", "tokens"),),
    )
    last = [(arm, f"{points[-1][1]:.1f}") for arm, points in lines.items()]
    yield Table("Mean length at the last step, tokens", ("arm", "tokens"), last)
