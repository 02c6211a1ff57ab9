"""A cell of a study: which model a measurement is about, as data, from the plan to the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

BASE = "base"
"""Used in place of an arm and of its algorithm where a base model is measured."""

SCHEMA = 2
"""Version of the records of a run folder; raised when columns or keys change."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One arm on one base model, measured on one benchmark, at one point of the sweep.

    Attributes:
        arm: name of the arm in the study file, `BASE` for the base model itself.
        algorithm: algorithm of that arm, e.g. `grpo`; `BASE` for a base model.
        size: size of the model, or the name of a model made elsewhere.
        mixture: mixture that the model was pretrained on.
        seed: root seed; None for the cell over all seeds.
        sweep: label of the point of the sweep, empty where all points share the result.
        benchmark: benchmark that was evaluated; None for the cell over all benchmarks.
    """

    arm: str
    algorithm: str
    size: str
    mixture: str
    seed: int | None
    sweep: str = ""
    benchmark: str | None = None

    @property
    def is_base(self) -> bool:
        """Whether it is the base model, before any post-training."""
        return self.arm == BASE

    @property
    def name(self) -> str:
        """The arm and its point of the sweep, for display: `grpo`, or `grpo [learning_rate=0.001]`."""
        return f"{self.arm} [{self.sweep}]" if self.sweep else self.arm

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Cell:
        """The cell that a row of the records is about; seed and benchmark are None where it has none."""
        return cls(
            row["arm"],
            row["algorithm"],
            row["size"],
            row["mixture"],
            row.get("seed"),
            row["sweep"],
            row.get("benchmark"),
        )

    @property
    def columns(self) -> dict[str, Any]:
        """The first columns of a row; seed and benchmark are left out where the cell covers all of them."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def on(self, benchmark: str | None) -> Cell:
        """The same cell on one benchmark, or, with None, on all of them."""
        return replace(self, benchmark=benchmark)

    def base(self, sweep: str = "") -> Cell:
        """The base model of the same size, mixture and seed, on the same benchmark."""
        return replace(self, arm=BASE, algorithm=BASE, sweep=sweep)

    def over_seeds(self) -> Cell:
        """The same cell without its seed, which all seeds share."""
        return replace(self, seed=None)

    def over_bases(self) -> Cell:
        """The arm itself, over all base models, seeds and benchmarks, which share its settings."""
        return replace(self, size="", mixture="", seed=None, benchmark=None)
