"""Comparisons that a study commits to before its run."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from echochamber.base import Config
from echochamber.evaluation import BASE

Step = int | float | Literal["first_pass", "last"]
Forecasted = Literal["tilt", "pooled tilt", "policy gradient", "most frequent", "most accurate"]


class Place(Config):
    """One cell of a study, or only the keys in which it differs from another one."""

    arm: str | None = Field(default=None, min_length=1, description="An arm, or base.")
    size: str | None = Field(default=None, description="Model size; all sizes of the study if absent.")
    mixture: str | None = Field(default=None, description="Mixture; all mixtures of the study if absent.")
    sweep: str | None = Field(
        default=None,
        description="Point of the sweep by its label, e.g. kl_coefficient=0.01; all points if absent.",
    )
    benchmark: str | None = Field(
        default=None, description="Task name; the study's first benchmark if absent."
    )
    step: Step | None = Field(
        default=None,
        description="When: the number of an evaluated step, a fraction of the arm's steps, first_pass (the "
        "end of one pass over the questions) or last, which is the default.",
    )
    temperature: float | None = Field(
        default=None,
        ge=0.0,
        description="0 for greedy decoding; the study's sampling temperature if absent.",
    )
    format: str | None = Field(default=None, description="The format of share, accuracy and winner.")
    k: int | None = Field(default=None, ge=1, description="The k of pass_at and maj_at; 1 if absent.")
    forecast: Forecasted | None = Field(
        default=None,
        description="Instead of a measurement, what a theory expects from the base model alone: the share "
        "(tilt), or the format named as the winner (any theory or rule of thumb).",
    )

    @field_validator("step")
    @classmethod
    def _a_step(cls, step: Step | None) -> Step | None:
        if isinstance(step, float) and not 0.0 < step < 1.0:
            raise ValueError(
                f"step {step}: expected a whole number, a fraction between 0 and 1, first_pass or last"
            )
        if isinstance(step, int) and step < 0:
            raise ValueError(f"step {step}: expected 0 or more")
        return step

    @property
    def stated(self) -> dict[str, Any]:
        """The keys that are stated, with their values."""
        values = {key: getattr(self, key) for key in Place.model_fields}
        return {key: value for key, value in values.items() if value is not None}

    def moved(self, to: Place) -> Place:
        """This place, updated with the keys that another one states."""
        return Place.model_validate(self.stated | to.stated)


class Endpoint(Place):
    """One comparison that the study commits to before it sees any result.

    Everything else in a report is exploration: with enough comparisons some
    look real by chance. An endpoint fixes what is compared, by which number
    and in which direction, in the study file.
    """

    name: str = Field(min_length=1, description="What is claimed, in a few words.")
    arm: str = Field(min_length=1, description="The arm that is measured.")
    against: str | Place = Field(
        default=BASE,
        description="What it is compared with: base, another arm, or a mapping of the keys in which the "
        "other cell differs, e.g. {size: 1b} or {step: first_pass}.",
    )
    minus: Place | None = Field(
        default=None,
        description="For a difference of differences: the same comparison with these keys changed is "
        "subtracted, e.g. {size: 150m}.",
    )
    metric: Literal["pass_at", "maj_at", "share", "accuracy", "winner"] = Field(
        default="pass_at",
        description="pass@k, majority@k, share of a format, accuracy within a format, or the lead of a "
        "format over every other one (which needs no other cell).",
    )
    expect: Literal["increase", "decrease", "no change"] = Field(
        default="increase", description="The predicted direction of arm minus against."
    )
    margin: float = Field(
        default=0.0,
        ge=0.0,
        description="Smallest change that counts; for 'no change' the largest one that does not.",
    )

    @property
    def reference(self) -> Place:
        """The keys in which the other cell differs."""
        return Place(arm=self.against) if isinstance(self.against, str) else self.against

    @property
    def own(self) -> Place:
        """The cell that is measured."""
        return self.moved(Place())

    @property
    def places(self) -> list[tuple[str, Place]]:
        """Every cell that is compared, with only its stated keys, and the key that it is stated under."""
        if self.metric == "winner":
            return [("", self.own)]
        found = [("", self.own), ("against", self.own.moved(self.reference))]
        if self.minus is not None:
            other = self.own.moved(self.minus)
            found += [("minus", other), ("against", other.moved(self.reference))]
        return found

    @model_validator(mode="after")
    def _consistent(self) -> Endpoint:
        if self.metric == "winner":
            self._check_winner()
        else:
            for _, place in self.places:
                self._check_metric(place)
            cells = [place for _, place in self.places]
            if any(cells[i] == cells[i + 1] for i in range(0, len(cells), 2)):
                raise ValueError(f"'{self.arm}' is compared with itself; name another cell in against")
            if self.minus is not None and cells[0] == cells[2]:
                raise ValueError("minus: the comparison is subtracted from itself; name what differs")
        if self.expect == "no change" and self.margin == 0.0:
            raise ValueError(
                "expecting no change needs a margin above 0: no experiment can show a change of exactly 0"
            )
        return self

    def _check_metric(self, place: Place) -> None:
        by_format = self.metric in ("share", "accuracy")
        if by_format and place.format is None:
            raise ValueError(f"metric {self.metric} needs a format, e.g. format: boxed")
        if not by_format and place.format is not None:
            raise ValueError(f"metric {self.metric} is over all formats; remove format: {place.format}")
        if by_format and place.k not in (None, 1):
            raise ValueError(f"metric {self.metric} has no k; remove k: {place.k}")
        if place.forecast is not None and (self.metric, place.forecast) != ("share", "tilt"):
            raise ValueError(
                f"forecast {place.forecast}: there is no forecast of {self.metric}; expected metric: share "
                "with forecast: tilt, or metric: winner"
            )

    def _check_winner(self) -> None:
        if (self.format is None) == (self.forecast is None):
            raise ValueError(
                "metric winner needs either a format or a forecast that names one, e.g. forecast: tilt"
            )
        changed = self.against != BASE or self.minus is not None or self.k is not None
        if changed or self.expect != "increase":
            raise ValueError(
                "metric winner compares a format with every other one; remove against, minus, k and expect"
            )
