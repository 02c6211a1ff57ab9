"""Parts that a study can bring along, to copy from: `examples/mine.yaml` names this file.

A format, a benchmark with its own kind of problems, a reward, a figure, a claim. An algorithm stands in
cispo.py. Which class each derives from, and what else can be added, is told in docs/architecture.md.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from echochamber import register_claim, register_figure, register_format, register_reward, register_task
from echochamber.analysis.contrasts import Statement, all_of, beyond
from echochamber.analysis.findings import Evidence, Lacking
from echochamber.base import InputError, Problem, derive_seed
from echochamber.corpora import BaseTask, ProblemSet, text_key
from echochamber.formats import Extracted, Worked
from echochamber.report import Figure, Material, Panel, Series
from echochamber.rollout import Completion


class AnswerLine:
    """Short prose whose last line is `Answer: 7`. Patterns that read a model's text must be linear."""

    name = "answer_line"
    summary = "sums and a last line `Answer: 7`"
    _LAST = re.compile(r"(?:^|\n)Answer: ?+([^\n]{1,40})\s*+$")

    def render(self, worked: Worked) -> str:
        return "\n".join([*(f"{s.shown} = {s.value}" for s in worked.steps), f"Answer: {worked.answer}"])

    def detect(self, completion: str) -> bool:
        return self._LAST.search(completion[-200:]) is not None

    def extract(self, completion: str) -> Extracted:
        found = self._LAST.search(completion[-200:])
        return Extracted(answer=found[1] if found else None)


@register_task
class DoublesTask(BaseTask):
    """How much is twice a number? A problem set of one's own: `tasks: {twice: {kind: doubles}}`."""

    generated: ClassVar[bool] = True
    kind: Literal["doubles"] = "doubles"

    def draw(self, *, seed: int, taken: frozenset[str]) -> Sequence[Problem]:
        numbers = list(range(1, 500))
        random.Random(derive_seed(seed, "doubles")).shuffle(numbers)
        asked = [(f"Ann has {n} figs. Bo has twice as many. How many figs does Bo have?", n) for n in numbers]
        free = [(question, n) for question, n in asked if text_key(question) not in taken]
        if self.num_problems is not None and self.num_problems > len(free):
            raise InputError(f"num_problems {self.num_problems}: there are only {len(free)}; lower it")
        return ProblemSet(
            Problem(key=f"doubles-{n}", question=question, gold=str(2 * n), rules="gsm8k")
            for question, n in free[: self.num_problems]
        )


def brief(completions: Sequence[Completion]) -> list[float]:
    """1 for a right answer, less a hundredth per token: `reward: brief`."""
    return [c.verdict.reward - 0.01 * c.num_tokens for c in completions]


@register_figure("before-after")
def last_step(material: Material) -> Iterator[Figure]:
    """pass@1 of every arm at its last step, under the section "Before and after"."""
    for group in material.groups:
        names = tuple(t.name for t in group.arms)
        right = tuple(float(t.pass_at_1.estimate[-1]) for t in group.arms)
        bars = Series("pass@1", names, right, "#7755AA", kind="bar")
        panel = Panel(group.title, (bars,), y_label="pass@1", percent=True)
        yield Figure(f"mine-{group.slug}", "A figure of mine", "pass@1 at the last step.", (panel,))


@register_claim(
    "no-harm",
    "No arm ends with a lower pass@1 than its base model.",
    source="an example",
    needs="arms that are paid for correct answers; two seeds",
    null="Some arm ends no better than its base model.",
    method="Paired contrast of pass@1, last step minus base, for every arm.",
)
def no_harm(evidence: Evidence) -> Statement | Lacking:
    arms = evidence.arms
    return all_of([beyond(t.gain(), +1, evidence=t.name) for t in arms]) if arms else Lacking("arms: one")


register_format(AnswerLine())
register_reward("brief", brief)
