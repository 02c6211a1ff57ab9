"""Claims that a run can test, one registered function each; docs/findings.md lists them.

All numbers are taken at steps fixed in advance, never at the best of several. Claims about algorithms,
mixtures or sizes get a verdict from several seeds only.
"""

from __future__ import annotations

# isort: off
# The order of these imports is the order of the claims: that of the paper.
from echochamber.analysis.findings import takeover as takeover
from echochamber.analysis.findings import kl as kl
from echochamber.analysis.findings import winners as winners
from echochamber.analysis.findings import passes as passes
from echochamber.analysis.findings import algorithms as algorithms
from echochamber.analysis.findings import transfer as transfer
from echochamber.analysis.findings import forecasts as forecasts
from echochamber.analysis.findings import nothing as nothing

# isort: on
from echochamber.analysis.findings.claim import CLAIMS, Claim, Finding, Verdict, claim, judge
from echochamber.analysis.findings.evidence import (
    Evidence,
    Lacking,
    gather_evidence,
)
from echochamber.analysis.runs import Run

__all__ = [
    "CLAIMS",
    "Claim",
    "Evidence",
    "Finding",
    "Lacking",
    "Verdict",
    "claim",
    "findings",
    "gather_evidence",
    "judge",
]


def findings(run: Run) -> list[Finding]:
    """What a run says about every claim."""
    evidence = gather_evidence(run)
    return [judge(CLAIMS.get(key), evidence) for key in CLAIMS]
