"""Completions to read side by side: the same problem before RL and after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from echochamber.analysis import Run, Trajectory
from echochamber.report.build import Group
from echochamber.report.texts import shortened

MAX_TEXT = 1600
MAX_ANSWER = 200


@dataclass(frozen=True)
class Written:
    """One completion as shown."""

    arm: str
    step: int
    format: str
    outcome: str
    answer: str | None
    text: str

    @property
    def correct(self) -> bool:
        return self.outcome == "correct"


@dataclass(frozen=True)
class Example:
    """One problem with what the base model and each arm wrote for it."""

    question: str
    gold: str
    level: int
    written: tuple[Written, ...]


_PROBLEMS = """
    SELECT problem_id FROM completions
    WHERE arm = $arm AND size = $size AND mixture = $mixture AND benchmark = $benchmark
      AND greedy = $greedy AND seed = $seed AND step = $step AND sample = 0
    ORDER BY filename, file_row_number
"""
_TEXTS = """
    SELECT problem_id, question, gold, level, format, outcome, answer, completion FROM completions
    WHERE arm = $arm AND size = $size AND mixture = $mixture AND benchmark = $benchmark
      AND greedy = $greedy AND seed = $seed AND step = $step AND sample = 0
      AND list_contains($problems, problem_id)
"""


def examples(run: Run, group: Group, *, num_problems: int) -> list[Example]:
    """The first sample of the first seed for problems evenly spaced through the set.

    They are chosen by their place, never by their outcome.
    """
    base = group.members[0]
    cell: dict[str, Any] = {
        "size": base.size,
        "mixture": base.mixture,
        "benchmark": base.benchmark,
        "greedy": base.greedy,
        "seed": base.counts[0].seed,
    }
    listed = run.query(_PROBLEMS, cell | {"arm": base.arm, "step": base.steps[0]})["problem_id"].to_pylist()
    count = min(num_problems, len(listed))
    problems = [listed[i * len(listed) // count] for i in range(count)]
    found = {t.arm: _texts(run, t, cell, problems) for t in group.members}
    shown = []
    for problem in problems:
        first = found[base.arm][problem]
        written = tuple(_written(t, found[t.arm][problem]) for t in group.members if problem in found[t.arm])
        question, gold = shortened(first["question"], MAX_TEXT), shortened(first["gold"], MAX_ANSWER)
        shown.append(Example(question, gold, first["level"], written))
    return shown


def _texts(run: Run, t: Trajectory, cell: dict[str, Any], problems: list[str]) -> dict[str, dict[str, Any]]:
    table = run.query(_TEXTS, cell | {"arm": t.arm, "step": t.steps[-1], "problems": problems})
    return {row["problem_id"]: row for row in table.to_pylist()}


def _written(t: Trajectory, row: dict[str, Any]) -> Written:
    step = 0 if t.is_base else t.steps[-1]
    answer = None if row["answer"] is None else shortened(row["answer"], MAX_ANSWER)
    text = shortened(row["completion"], MAX_TEXT)
    return Written(t.arm, step, row["format"], row["outcome"].replace("_", " "), answer, text)
