"""Comparisons named before a run, and their outcomes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from echochamber.base import Config


class Endpoint(Config):
    """One comparison that the study commits to before it sees any result.

    Everything else in a report is exploration: with enough comparisons some
    look real by chance. An endpoint fixes arm, benchmark, metric and direction
    in the study file, and is always taken at the last RL step.
    """

    name: str = Field(min_length=1, description="What is claimed, in a few words.")
    arm: str = Field(min_length=1, description="The arm that is measured, at its last step.")
    against: str = Field(default="base", description="What it is compared with: base, or another arm.")
    metric: Literal["pass_at", "maj_at", "share", "accuracy"] = Field(
        default="pass_at", description="pass@k, majority@k, share of a format, or accuracy within a format."
    )
    k: int = Field(default=1, ge=1, description="The k of pass_at and maj_at.")
    format: str | None = Field(default=None, description="The format of share and accuracy.")
    benchmark: str | None = Field(
        default=None, description="Task name; the study's first benchmark if absent."
    )
    expect: Literal["increase", "decrease", "no change"] = Field(
        default="increase", description="The predicted direction of arm minus against."
    )
    margin: float = Field(
        default=0.0,
        ge=0.0,
        description="Smallest change that counts; for 'no change' the largest one that does not.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Endpoint:
        by_format = self.metric in ("share", "accuracy")
        if by_format and self.format is None:
            raise ValueError(f"metric {self.metric} needs a format, e.g. format: boxed")
        if not by_format and self.format is not None:
            raise ValueError(f"metric {self.metric} is over all formats; remove format: {self.format}")
        if by_format and self.k != 1:
            raise ValueError(f"metric {self.metric} has no k; remove k: {self.k}")
        if self.arm == self.against:
            raise ValueError(f"'{self.arm}' is compared with itself; name another arm in against")
        if self.expect == "no change" and self.margin == 0.0:
            raise ValueError(
                "expecting no change needs a margin above 0: no experiment can show a change of exactly 0"
            )
        return self
