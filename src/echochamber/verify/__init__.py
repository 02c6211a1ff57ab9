"""Run the programs of completions safely, compare answers exactly, and say why each was rewarded or not.

Generated code never runs in this process: tier 1 is an interpreter without access to the operating system, in
processes of its own. Gold answers never leave this process. A program that fails, times out or is unsupported
is worth 0; there is no fallback to text.
"""

from echochamber.verify.completion_files import GradeSummary, grade_file
from echochamber.verify.confined import require_confinement
from echochamber.verify.grader import Grader, grade
from echochamber.verify.math_equality import vote_key
from echochamber.verify.outcomes import ExecutionLimits, Outcome, Verdict
from echochamber.verify.rules import Rules, get_rules, register_rules

__all__ = [
    "ExecutionLimits",
    "GradeSummary",
    "Grader",
    "Outcome",
    "Rules",
    "Verdict",
    "get_rules",
    "grade",
    "grade_file",
    "register_rules",
    "require_confinement",
    "vote_key",
]
