"""Finding 8: questions that RL never saw."""

from __future__ import annotations

from echochamber.analysis.contrasts import Statement, all_of, beyond
from echochamber.analysis.findings.certainty import difference
from echochamber.analysis.findings.claim import ZHAO, register_claim
from echochamber.analysis.findings.evidence import Evidence, Lacking


@register_claim(
    "transfer",
    "RL on one set of questions raises pass@1 on the study's other benchmarks as well.",
    source=ZHAO,
    order=90,
    needs="rewarded arms measured on a second benchmark; two seeds",
    null="On some other benchmark pass@1 does not change.",
    method="A paired contrast of pass@1, last step minus base; every arm must show it on every benchmark "
    "except the first.",
)
def transfers(e: Evidence) -> Statement | Lacking:
    """Finding 8."""
    parts = []
    for t in e.others:
        test = t.gain()
        parts.append(beyond(test, +1, evidence=f"{e.name(t)} on {t.benchmark}: {difference(test)}"))
    return all_of(parts) if parts else Lacking("benchmarks: a second one")
