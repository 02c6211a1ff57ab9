"""Run the programs of completions safely, compare answers exactly, and say why each was paid or not.

Generated code never runs in this process: tier 1 is an interpreter without an
operating system in processes of its own. Gold answers stay here. A program
that fails, times out or is unsupported is worth 0; there is no fallback to text.
"""

from echochamber.verify.answers import Number, parse_number
from echochamber.verify.completion_files import GradeSummary, grade_file
from echochamber.verify.confined import require_confinement
from echochamber.verify.grader import Grader, grade
from echochamber.verify.math_equality import vote_key
from echochamber.verify.outcomes import Execution, ExecutionLimits, Outcome, Verdict
from echochamber.verify.rules import Rules, get_rules, register_rules

__all__ = [
    "Execution",
    "ExecutionLimits",
    "GradeSummary",
    "Grader",
    "Number",
    "Outcome",
    "Rules",
    "Verdict",
    "get_rules",
    "grade",
    "grade_file",
    "parse_number",
    "register_rules",
    "require_confinement",
    "vote_key",
]
