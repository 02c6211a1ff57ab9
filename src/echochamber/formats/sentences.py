"""Sentences shared by the prose formats."""

from __future__ import annotations

from echochamber.formats.types import Step


def claim(step: Step, computation: str) -> str:
    """One sentence that states a computation, e.g. `Tom keeps 12 - 5 = 7 apples.`"""
    return " ".join(part for part in (step.sentence, computation, step.unit) if part) + "."
