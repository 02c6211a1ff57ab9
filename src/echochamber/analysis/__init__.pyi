from .comparison import compare_arms, distinction
from .controls import Control, controls
from .endpoint_results import (
    EndpointResult,
    endpoint_results,
    step_at_fraction,
)
from .endpoints import Endpoint, Place
from .findings import (
    CLAIMS,
    Finding,
    findings,
)
from .forecast import (
    Forecast,
    compare_forecast,
    forecast,
    forecasts,
    kl_coefficient,
    rules_of_thumb,
)
from .headline import FormatChange, Headline, headline, percent, points
from .intervals import Bands, Interval, Ratio, ratio_bands
from .paired_tests import PairedTest, corrected
from .rulings import rulings
from .runs import WHERE_CELL, Run, of_cell, refuse_other_schema, showing_lock
from .second_opinion import second_opinion, write_second_opinion
from .sharpening import Sharpening, greedy_twin, sharpening, temperature
from .spending import cost
from .training_curves import learning_curves, rl_curves, training_shares
from .trajectories import (
    NOT_A_FORMAT,
    Counts,
    Trajectory,
    majority_per_problem,
    select,
    trajectories,
)

__all__ = [
    "CLAIMS",
    "NOT_A_FORMAT",
    "WHERE_CELL",
    "Bands",
    "Control",
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
    "compare_arms",
    "compare_forecast",
    "controls",
    "corrected",
    "cost",
    "distinction",
    "endpoint_results",
    "findings",
    "forecast",
    "forecasts",
    "greedy_twin",
    "headline",
    "kl_coefficient",
    "learning_curves",
    "majority_per_problem",
    "of_cell",
    "percent",
    "points",
    "ratio_bands",
    "refuse_other_schema",
    "rl_curves",
    "rules_of_thumb",
    "rulings",
    "second_opinion",
    "select",
    "sharpening",
    "showing_lock",
    "step_at_fraction",
    "temperature",
    "training_shares",
    "trajectories",
    "write_second_opinion",
]
