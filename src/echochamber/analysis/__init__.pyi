from .comparison import ArmComparison, compare_arms, distinction
from .controls import Control, controls
from .distributions import count_interval
from .endpoint_results import (
    EndpointResult,
    endpoint_results,
    endpoints_of,
    step_at_fraction,
)
from .endpoints import Endpoint, Place
from .findings import (
    CLAIMS,
    Claim,
    Finding,
    findings,
)
from .forecast import (
    Comparison,
    Forecast,
    compare_forecast,
    forecast,
    forecasts,
    kl_coefficient,
    race,
    rules_of_thumb,
    tilted,
)
from .headline import FormatChange, Headline, headline, percent, points, seeds_won
from .runs import WHERE_CELL, Run, of_cell, refuse_other_schema, showing_lock
from .second_opinion import second_opinion, write_second_opinion
from .sharpening import Sharpening, greedy_twin, sharpening, temperature
from .spending import Cost, cost
from .statistics import (
    Bands,
    Interval,
    PairedTest,
    Ratio,
    corrected,
    minimum_detectable_difference,
    paired_test,
    ratio_bands,
    ratio_test,
)
from .tables import accuracy_by_format, base_and_final, format_shares, learning_curves
from .training_curves import rl_curves, training_shares
from .trajectories import (
    NOT_A_FORMAT,
    Counts,
    Trajectory,
    majority_per_problem,
    select,
    trajectories,
)
from .verdicts import verdicts

__all__ = [
    "CLAIMS",
    "NOT_A_FORMAT",
    "WHERE_CELL",
    "ArmComparison",
    "Bands",
    "Claim",
    "Comparison",
    "Control",
    "Cost",
    "Counts",
    "Endpoint",
    "EndpointResult",
    "Finding",
    "Forecast",
    "FormatChange",
    "Headline",
    "Interval",
    "PairedTest",
    "Place",
    "Ratio",
    "Run",
    "Sharpening",
    "Trajectory",
    "accuracy_by_format",
    "base_and_final",
    "compare_arms",
    "compare_forecast",
    "controls",
    "corrected",
    "cost",
    "count_interval",
    "distinction",
    "endpoint_results",
    "endpoints_of",
    "findings",
    "forecast",
    "forecasts",
    "format_shares",
    "greedy_twin",
    "headline",
    "kl_coefficient",
    "learning_curves",
    "majority_per_problem",
    "minimum_detectable_difference",
    "of_cell",
    "paired_test",
    "percent",
    "points",
    "race",
    "ratio_bands",
    "ratio_test",
    "refuse_other_schema",
    "rl_curves",
    "rules_of_thumb",
    "second_opinion",
    "seeds_won",
    "select",
    "sharpening",
    "showing_lock",
    "step_at_fraction",
    "temperature",
    "tilted",
    "training_shares",
    "trajectories",
    "verdicts",
    "write_second_opinion",
]
