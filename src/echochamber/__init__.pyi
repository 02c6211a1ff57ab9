from .analysis.findings import register_claim
from .corpora import register_source, register_task
from .formats import classify, register_format
from .report import register_figure, register_section
from .rl import register_algorithm, register_reward
from .study.results import Result, Results, load, run
from .study.tracking import register_tracker
from .verify import grade, register_rules

__version__: str

__all__ = [
    "Result",
    "Results",
    "classify",
    "grade",
    "load",
    "register_algorithm",
    "register_claim",
    "register_figure",
    "register_format",
    "register_reward",
    "register_rules",
    "register_section",
    "register_source",
    "register_task",
    "register_tracker",
    "run",
]
