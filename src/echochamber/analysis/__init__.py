"""From the records of a run to tables, intervals, tests and plain-word findings."""

from echochamber.analysis.endpoints import Endpoint
from echochamber.analysis.headline import FormatChange, Headline, headline, percent, points
from echochamber.analysis.runs import Run, distinct
from echochamber.analysis.statistics import (
    Bands,
    Bootstrap,
    Interval,
    PairedTest,
    minimum_detectable_difference,
    paired_test,
)
from echochamber.analysis.tables import accuracy_by_format, base_and_final, format_shares, learning_curves
from echochamber.analysis.trajectories import (
    BASE,
    NOT_A_FORMAT,
    Counts,
    Trajectory,
    majority_per_problem,
    select,
    trajectories,
)

__all__ = [
    "BASE",
    "NOT_A_FORMAT",
    "Bands",
    "Bootstrap",
    "Counts",
    "Endpoint",
    "FormatChange",
    "Headline",
    "Interval",
    "PairedTest",
    "Run",
    "Trajectory",
    "accuracy_by_format",
    "base_and_final",
    "distinct",
    "format_shares",
    "headline",
    "learning_curves",
    "majority_per_problem",
    "minimum_detectable_difference",
    "paired_test",
    "percent",
    "points",
    "select",
    "trajectories",
]
