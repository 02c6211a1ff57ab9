"""What happened to the formats of one arm, in numbers and in plain words."""

from __future__ import annotations

import math
from dataclasses import dataclass

from echochamber.analysis.distributions import count_interval
from echochamber.analysis.intervals import Interval
from echochamber.analysis.paired_tests import PairedTest
from echochamber.analysis.trajectories import NOT_A_FORMAT, Trajectory

HELD = 0.20
LOST = 0.05
TOOK_OVER = 0.50


@dataclass(frozen=True)
class FormatChange:
    """Share of one format before and after RL, with the paired comparison of the two."""

    name: str
    before: Interval
    after: Interval
    test: PairedTest


@dataclass(frozen=True)
class Headline:
    """What RL did in one arm.

    Attributes:
        trajectory: the arm.
        lost: formats that held at least HELD of the base model's completions and ended under LOST.
        winner: the format with the largest share at the end, None if no real format has any.
        gain: paired comparison of pass@1, last step against base.
        before, after: pass@1 at the first and the last step.
    """

    trajectory: Trajectory
    lost: tuple[FormatChange, ...]
    winner: FormatChange | None
    gain: PairedTest
    before: Interval
    after: Interval

    @property
    def took_over(self) -> bool:
        """Whether the winner grew and holds the majority at the end; with one seed, in this run."""
        w = self.winner
        return w is not None and (
            w.after.estimate >= TOOK_OVER and w.test.difference.estimate > 0 and not w.test.inside_noise
        )

    @property
    def seeds_won(self) -> int:
        """In how many seeds the winner holds the largest share of any format at the end."""
        return 0 if self.winner is None else seeds_won(self.trajectory, self.winner.name)

    def sentences(self) -> list[str]:
        """The finding in plain words, each sentence true of the numbers."""
        return [self._formats(), self._accuracy()]

    def _formats(self) -> str:
        t = self.trajectory
        text = f"{'In this run, over' if t.num_seeds == 1 else 'Over'} {t.steps[-1]} steps of {t.name}, "
        if self.lost:
            parts = [
                f"{c.name} went from {percent(c.before.estimate)} to {percent(c.after.estimate)}"
                for c in self.lost
            ]
            text += f"{' and '.join(parts)} of the answers"
        else:
            text += f"no format that held {100 * HELD:.0f} % of the base model's answers fell below "
            text += f"{100 * LOST:.0f} %"
        if self.winner is None:
            return f"{text}."
        w = self.winner
        moved = f"{percent(w.before.estimate)} → {percent(w.after.estimate)}"
        if self.took_over:
            return f"{text}; {w.name} took over ({moved}{self._counted()})."
        noise = ", within the noise" if w.test.inside_noise else ""
        return f"{text}; the most frequent format at the end is {w.name} ({moved}{noise}{self._counted()})."

    def _counted(self) -> str:
        """In how many runs the winner won, with the interval of that count; empty with one seed."""
        num_seeds = self.trajectory.num_seeds
        if num_seeds == 1:
            return ""
        low, high = count_interval(self.seeds_won, num_seeds)
        return (
            f"; first in {self.seeds_won} of {num_seeds} runs, which is consistent with {100 * low:.0f} to "
            f"{100 * high:.0f} % of all training runs"
        )

    def _accuracy(self) -> str:
        difference = self.gain.difference
        text = (
            f"pass@1 went from {percent(self.before.estimate)} to {percent(self.after.estimate)} "
            f"({points(difference.estimate)}, 95 % interval {points(difference.low, '')} "
            f"to {points(difference.high)})"
        )
        return f"{text}: a difference within the noise." if self.gain.inside_noise else f"{text}."


def seeds_won(t: Trajectory, name: str) -> int:
    """In how many seeds a format holds the largest share of all formats at the last step.

    A share that is bimodal over training runs (the winner differs by seed) has no short interval that can be
    trusted from a few seeds; this count, with `count_interval`, says what they show.
    """
    real = [f for f, label in enumerate(t.formats) if label not in NOT_A_FORMAT]
    written = [count.completions[:, -1, real].sum(axis=0) for count in t.counts]
    return sum(t.formats[real[int(w.argmax())]] == name for w in written)


def headline(trajectory: Trajectory) -> Headline:
    """Compare the first and the last step of an arm.

    Labels that are not formats (`none`, `ambiguous`) are never winners or losers.
    """
    t = trajectory
    changes = [
        FormatChange(name, t.share.at((0, f)), t.share.at((-1, f)), t.share_change(name))
        for f, name in enumerate(t.formats)
        if name not in NOT_A_FORMAT
    ]
    lost = tuple(c for c in changes if c.before.estimate >= HELD and c.after.estimate < LOST)
    winner = max(changes, key=lambda c: c.after.estimate, default=None)
    if winner is not None and winner.after.estimate == 0.0:
        winner = None
    return Headline(t, lost, winner, t.gain(), t.pass_at_1.at(0), t.pass_at_1.at(-1))


def percent(value: float) -> str:
    """A share as text, `39 %`, with a decimal below 10 % and above 90 %; `–` for nothing measured.

    Only exactly 0 and 1 are `0 %` and `100 %`: a value closer to them than one decimal can show is `< 0.1 %`
    or `> 99.9 %`. The spaces do not break.
    """
    if not math.isfinite(value):
        return "–"
    shown = 100.0 * value
    if min(abs(value), abs(1.0 - value)) < 1e-12:  # a sum of many may miss 1 by rounding
        return f"{shown:.0f}\u00a0%"
    if 0.0 < shown < 0.05:
        return "<\u00a00.1\u00a0%"
    if 99.95 <= shown < 100.0:
        return ">\u00a099.9\u00a0%"
    decimals = 1 if 0.0 < shown < 9.95 or 90.05 <= shown < 100.0 else 0
    return f"{shown:.{decimals}f}\u00a0%"


def points(value: float, unit: str = " points") -> str:
    """A signed difference in percentage points."""
    return f"{100.0 * value:+.1f}{unit}" if math.isfinite(value) else "–"
