from .cells import BASE, SCHEMA, Cell
from .config import EvaluationConfig, evaluation_steps
from .evaluate import evaluate, table_of
from .metrics import Majority, Votes, count_votes, maj_at_k, pass_at_k
from .records import (
    COMPLETION_SCHEMA,
    RECORD_SCHEMA,
    SUMMARY_COLUMNS,
    with_cell,
    write_completions,
)
from .summary import summarize
from .teacher_forced import FormatProbability, format_probabilities

__all__ = [
    "BASE",
    "COMPLETION_SCHEMA",
    "RECORD_SCHEMA",
    "SCHEMA",
    "SUMMARY_COLUMNS",
    "Cell",
    "EvaluationConfig",
    "FormatProbability",
    "Majority",
    "Votes",
    "count_votes",
    "evaluate",
    "evaluation_steps",
    "format_probabilities",
    "maj_at_k",
    "pass_at_k",
    "summarize",
    "table_of",
    "with_cell",
    "write_completions",
]
