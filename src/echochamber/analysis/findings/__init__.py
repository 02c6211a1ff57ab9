"""Claims that a run can test, one registered function each; docs/findings.md lists them.

All numbers are taken at steps fixed in advance, never at the best of several. Claims about algorithms,
mixtures or sizes get a ruling only if there are several seeds.
"""

from __future__ import annotations

from echochamber.analysis.findings.claim import (
    CLAIMS,
    Claim,
    Finding,
    Ruling,
    claims_in_order,
    judge,
    register_claim,
)
from echochamber.analysis.findings.evidence import Evidence, Lacking, gather_evidence
from echochamber.analysis.runs import Run

__all__ = [
    "CLAIMS",
    "Claim",
    "Evidence",
    "Finding",
    "Lacking",
    "Ruling",
    "claims_in_order",
    "findings",
    "gather_evidence",
    "judge",
    "register_claim",
]


def findings(run: Run) -> list[Finding]:
    """What a run says about every claim; judged once per `Run`."""
    claims = claims_in_order()
    key = ("findings", *(claim.key for claim in claims))
    if key not in run.memo:
        evidence = gather_evidence(run)
        run.memo[key] = [judge(claim, evidence) for claim in claims]
    return list(run.memo[key])
