from .cells import BASE, SCHEMA, Cell
from .config import EvaluationConfig, Labels, evaluation_steps
from .evaluate import evaluate, evaluate_batches
from .metrics import Majority, Votes, count_votes, maj_at_k, pass_at_k
from .records import (
    COMPLETION_SCHEMA,
    SUMMARY_COLUMNS,
    read_completions,
    write_completions,
)
from .summary import majority_ties, summarise
from .teacher_forced import FormatProbability, format_probabilities

__all__ = [
    "BASE",
    "COMPLETION_SCHEMA",
    "SCHEMA",
    "SUMMARY_COLUMNS",
    "Cell",
    "EvaluationConfig",
    "FormatProbability",
    "Labels",
    "Majority",
    "Votes",
    "count_votes",
    "evaluate",
    "evaluate_batches",
    "evaluation_steps",
    "format_probabilities",
    "maj_at_k",
    "majority_ties",
    "pass_at_k",
    "read_completions",
    "summarise",
    "write_completions",
]
