"""Greedy accuracy beside sampled accuracy, and how much of a gain at a temperature is sharpening.

A sampled gain has two parts. The model may find more right answers, which greedy decoding shows as well; or
its samples may come closer to the answer it preferred all along, which greedy decoding cannot show: that is
sharpening, and a lower temperature would have done the same to the base model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from echochamber.analysis.headline import percent, points
from echochamber.analysis.intervals import Interval
from echochamber.analysis.paired_tests import PairedTest, paired_test
from echochamber.analysis.runs import Run
from echochamber.analysis.trajectories import Trajectory
from echochamber.evaluation import Cell

Kind = Literal["no gain", "mostly sharpening", "mostly more", "cannot tell"]


@dataclass(frozen=True)
class Sharpening:
    """What greedy decoding says about the sampled gain of one arm.

    Attributes:
        temperature: at which the samples were drawn.
        before, after: greedy accuracy at the first and the last step.
        greedy, sampled: paired comparisons of the two steps, decoded each way.
        kind: `mostly sharpening` when greedy accuracy rose by less than half of the sampled gain, `mostly
            more` when by more than half, `cannot tell` when the paired test of the two leaves both open,
            `no gain` when the samples did not gain beyond the noise.
    """

    temperature: float
    before: Interval
    after: Interval
    greedy: PairedTest
    sampled: PairedTest
    kind: Kind

    def sentence(self) -> str:
        """The greedy numbers in words, and what they say about the gain of the samples."""
        text = (
            f"Decoded greedily: {percent(self.before.estimate)} right before, "
            f"{percent(self.after.estimate)} after ({points(self.greedy.difference.estimate)})"
        )
        gain, at = points(self.sampled.difference.estimate), f"T = {self.temperature:g}"
        if self.kind == "mostly sharpening":
            return (
                f"{text}, so most of the {gain} at {at} is sharpening: samples came closer to the answers "
                "that the base model already preferred."
            )
        if self.kind == "mostly more":
            return f"{text}, so most of the {gain} at {at} is more than sharpening."
        if self.kind == "cannot tell":
            return f"{text}; these numbers cannot tell whether most of the {gain} at {at} is sharpening."
        return f"{text}."


def greedy_twin(t: Trajectory, found: Sequence[Trajectory]) -> Trajectory | None:
    """The same cell decoded greedily, if the study measured it on the same problems and seeds."""
    for g in found:
        if g.greedy and g.cell == t.cell:
            same = [c.problems for c in g.counts] == [c.problems for c in t.counts]
            return g if same and g.steps == t.steps else None
    return None


def sharpening(run: Run, t: Trajectory, found: Sequence[Trajectory]) -> Sharpening | None:
    """Set the gain of a sampled arm against that of its greedy twin; None where it has none."""
    g = greedy_twin(t, found)
    if t.greedy or g is None:
        return None
    sampled = t.gain()
    halved = [
        (after - before) / 2
        for before, after in zip(t.accuracy_per_problem(0), t.accuracy_per_problem(-1), strict=True)
    ]
    shown = [
        after - before
        for before, after in zip(g.accuracy_per_problem(0), g.accuracy_per_problem(-1), strict=True)
    ]
    hidden = paired_test(shown, halved, crossed=t.crossed)
    kind: Kind = "cannot tell"
    if sampled.inside_noise or sampled.difference.estimate <= 0:
        kind = "no gain"
    elif not hidden.inside_noise:
        kind = "mostly sharpening" if hidden.difference.estimate > 0 else "mostly more"
    return Sharpening(temperature(run, t), g.pass_at_1.at(0), g.pass_at_1.at(-1), g.gain(), sampled, kind)


def temperature(run: Run, t: Trajectory) -> float:
    """The temperature that a trajectory's completions were drawn at; 0 for greedy ones."""
    rows = (row for row in run.rows if Cell.of(row).over_seeds() == t.cell and row["greedy"] == t.greedy)
    return float(next(rows)["temperature"])
