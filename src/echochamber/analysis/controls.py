"""Which rewarded arm each control is compared with, and how the two differ."""

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
        cell: the control, over all base models.
        reward: name of its reward.
        nearest: the rewarded arm with the fewest different settings, None where the study has none.
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
            return f"{start}has no counterpart: no arm of this run is rewarded for correct answers."
        if self.matched:
            return (
                f"{start}is the twin of {self.nearest.name}: algorithm, learning rate, steps, prompts, "
                "samples and KL are the same; only the reward differs."
            )
        listed = ", ".join(
            f"{what} {_shown(own)} instead of {_shown(other)}" for what, own, other in self.differences
        )
        return (
            f"{start}has no twin. It also differs from the arm most like it, {self.nearest.name}, in other "
            f"settings ({listed}), so the reward alone does not explain what separates the two."
        )


def controls(run: Run) -> list[Control]:
    """Every arm whose reward says nothing about correctness, with the rewarded arm most like it.

    If several arms are equally close, it is the study's first.
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
    """Settings other than the reward in which two arms differ, including those that only one of them has."""
    a, b = first.settings, second.settings
    return tuple(
        (_WORDS.get(key, key.replace("_", " ")), a.get(key), b.get(key))
        for key in dict.fromkeys([*a, *b])
        if key != "reward" and a.get(key) != b.get(key)
    )


def _shown(value: Any) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
