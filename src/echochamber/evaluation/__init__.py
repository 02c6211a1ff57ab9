"""Measure a model: sample benchmarks, grade, record every completion, reduce to pass@k, maj@k and shares."""

from echochamber.evaluation.cells import BASE, SCHEMA, Cell
from echochamber.evaluation.config import EvaluationConfig, Labels, evaluation_steps
from echochamber.evaluation.evaluate import evaluate, evaluate_batches
from echochamber.evaluation.metrics import Majority, Votes, count_votes, maj_at_k, pass_at_k
from echochamber.evaluation.records import (
    COMPLETION_SCHEMA,
    SUMMARY_COLUMNS,
    read_completions,
    write_completions,
)
from echochamber.evaluation.summary import majority_ties, summarise
from echochamber.evaluation.teacher_forced import FormatProbability, format_probabilities

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
