"""Finding 10 and our controls: what RL cannot make from nothing."""

from __future__ import annotations

from echochamber.analysis.contrasts import Statement, all_of, beyond
from echochamber.analysis.findings.certainty import difference
from echochamber.analysis.findings.claim import OURS, register_claim
from echochamber.analysis.findings.evidence import Evidence, Lacking
from echochamber.analysis.headline import percent
from echochamber.analysis.paired_tests import PairedTest, paired_test
from echochamber.analysis.recorded import RecordedSource
from echochamber.analysis.trajectories import Trajectory
from echochamber.corpora import CORPORA

STILL_NOTHING = 0.02
"""Share under which a format counts as absent."""
NO_GAIN = 0.05
"""Gain of pass@1 under which a control counts as not having gained."""


@register_claim(
    "nothing-from-nothing",
    f"RL does not bring out a format that the mixture lacks: it stays under {100 * STILL_NOTHING:.0f} %.",
    source=OURS,
    order=110,
    needs="a mixture that lacks a format which another source of the study has, and a base model that "
    "never writes it; two seeds",
    null=f"After RL the format holds {100 * STILL_NOTHING:.0f} % or more.",
    method="The share at the last step is compared with that bound in every arm. Where no completion has "
    "the format, p is the probability of that among as many independent problems.",
)
def nothing_from_nothing(e: Evidence) -> Statement | Lacking:
    """Finding 10."""
    offered = {name: _format(config) for name, config in e.sources.items()}
    parts = []
    for t in e.arms:
        if t.mixture not in e.mixtures:
            continue
        present = {offered.get(source) for source, amount in e.mixtures[t.mixture].parts.items() if amount}
        for name in sorted({f for f in offered.values() if f is not None} - present):
            if _ever(t, 0, name) == 0.0:
                parts.append(_stays_away(e, t, name))
    return all_of(parts) if parts else Lacking(
        "mixtures: one that lacks a format which another source of the study has"
    )  # fmt: skip


def _format(source: RecordedSource) -> str | None:
    """The format of a source's solutions, None where it is not known."""
    corpus = CORPORA.get(source.corpus or "")
    return source.format or (corpus.format if corpus else None)


def _ever(t: Trajectory, index: int, name: str) -> float:
    return float(t.share.estimate[index, t.formats.index(name)]) if name in t.formats else 0.0


def _stays_away(e: Evidence, t: Trajectory, name: str) -> Statement:
    after = _ever(t, -1, name)
    said = f"{e.name(t)}: {name} 0 % → {percent(after)}"
    if after == 0.0:
        return Statement(min(1.0, 2.0 * (1.0 - STILL_NOTHING) ** t.num_problems), 1.0, t.num_seeds, said)
    share = t.share_per_problem(-1, name)
    test = paired_test([v * 0 + STILL_NOTHING for v in share], share, crossed=t.crossed)
    return beyond(test, -1, evidence=said)


@register_claim(
    "no-signal-no-gain",
    f"A reward without signal does not raise pass@1 by {100 * NO_GAIN:.0f} points or more.",
    source=OURS,
    order=120,
    needs="an arm whose reward says nothing about correctness; two seeds",
    null=f"pass@1 rises by {100 * NO_GAIN:.0f} points or more.",
    method="The gain (last step minus base) must lie below the margin with certainty in every control. A "
    "gain that is merely not significant shows nothing.",
)
def no_signal_no_gain(e: Evidence) -> Statement | Lacking:
    """The control without signal: a rise there would be an artifact of the measurement."""
    parts = []
    for t in e.controls:
        test: PairedTest = t.gain()
        parts.append(beyond(test, -1, NO_GAIN, f"{e.name(t)}: {difference(test)}"))
    return all_of(parts) if parts else Lacking("arms: one whose reward carries no signal")
