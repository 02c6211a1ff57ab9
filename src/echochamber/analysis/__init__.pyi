from .comparison import ArmComparison, compare_arms, verdict
from .controls import Control, controls
from .distributions import count_interval
from .dynamics import rl_curves, training_shares
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
    arm_configs,
    findings,
    unrewarded_arms,
)
from .forecast import (
    Comparison,
    Forecast,
    compare_forecast,
    forecast,
    forecasts,
    kl_coefficients,
    race,
    rules_of_thumb,
    tilted,
)
from .headline import FormatChange, Headline, headline, percent, points, seeds_won
from .runs import Run, distinct, showing_lock
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
from .trajectories import (
    BASE,
    NOT_A_FORMAT,
    Counts,
    Trajectory,
    majority_per_problem,
    select,
    trajectories,
)
from .verdicts import verdicts

__all__ = [
    "BASE",
    "CLAIMS",
    "NOT_A_FORMAT",
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
    "arm_configs",
    "base_and_final",
    "compare_arms",
    "compare_forecast",
    "controls",
    "corrected",
    "cost",
    "count_interval",
    "distinct",
    "endpoint_results",
    "endpoints_of",
    "findings",
    "forecast",
    "forecasts",
    "format_shares",
    "greedy_twin",
    "headline",
    "kl_coefficients",
    "learning_curves",
    "majority_per_problem",
    "minimum_detectable_difference",
    "paired_test",
    "percent",
    "points",
    "race",
    "ratio_bands",
    "ratio_test",
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
    "unrewarded_arms",
    "verdict",
    "verdicts",
    "write_second_opinion",
]
