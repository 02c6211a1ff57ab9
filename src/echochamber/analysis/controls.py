"""Which rewarded arm each control stands beside, and in what it differs from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from echochamber.analysis.recorded import RecordedArm
from echochamber.analysis.runs import Run
from echochamber.evaluation import Cell

_WORDS = {
    "optimizer.learning_rate": "learning rate",
    "prompts_per_step": "prompts per step",
    "prompts_per_update": "prompts per update",
    "samples_per_prompt": "samples per prompt",
    "kl_coefficient": "KL coefficient",
}


@dataclass(frozen=True)
class Control:
    """A control and the rewarded arm that was trained most like it.

    Attributes:
        cell: of the control, on whichever base model.
        reward: what it was paid by.
        nearest: the rewarded arm with the fewest other settings, None where the study has no rewarded arm.
        differences: settings other than the reward in which the two differ, with the value of each.
    """

    cell: Cell
    reward: str
    nearest: Cell | None
    differences: tuple[tuple[str, Any, Any], ...] = ()

    @property
    def matched(self) -> bool:
        """Whether only the reward differs."""
        return self.nearest is not None and not self.differences

    def sentence(self) -> str:
        """What the control controls for, in words."""
        start = f"{self.cell.name} (reward: {self.reward}) "
        if self.nearest is None:
            return f"{start}stands alone: no arm of this run is paid for correct answers."
        if self.matched:
            return (
                f"{start}is the twin of {self.nearest.name}: the same algorithm, rate, steps, prompts, "
                "samples and KL; only the reward differs."
            )
        listed = ", ".join(
            f"{what} {_shown(own)} and not {_shown(other)}" for what, own, other in self.differences
        )
        return (
            f"{start}has no twin. The arm most like it, {self.nearest.name}, was trained otherwise "
            f"({listed}), so what separates the two is not the reward alone."
        )


def controls(run: Run) -> list[Control]:
    """Every arm whose reward says nothing about correctness, beside the rewarded arm most like it.

    Of equally close arms the study's first is named.
    """
    arms = dict.fromkeys(cell.over_bases() for cell, _ in run.cells if not cell.is_base)
    recorded = {cell: run.arm(cell) for cell in arms}
    found = []
    for cell, own in recorded.items():
        if not own.is_control:
            continue
        apart = {c: differences(own, arm) for c, arm in recorded.items() if not arm.is_control}
        nearest = min(apart, key=lambda c: (len(apart[c]), c.sweep != cell.sweep), default=None)
        found.append(Control(cell, str(own.reward), nearest, () if nearest is None else apart[nearest]))
    return found


def differences(first: RecordedArm, second: RecordedArm) -> tuple[tuple[str, Any, Any], ...]:
    """Settings in which two arms differ, those that only one of them has included, the reward excluded."""
    a, b = first.settings, second.settings
    return tuple(
        (_WORDS.get(key, key.replace("_", " ")), a.get(key), b.get(key))
        for key in dict.fromkeys([*a, *b])
        if key != "reward" and a.get(key) != b.get(key)
    )


def _shown(value: Any) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
