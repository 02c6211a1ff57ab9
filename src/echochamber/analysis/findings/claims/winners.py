"""Findings 3, 4 and 6: which format wins, against simple rules, across sizes and across algorithms."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import replace

from echochamber.analysis.contrasts import Statement, all_of, any_of, beyond, opposite
from echochamber.analysis.findings.certainty import (
    Versus,
    accuracy_versus,
    leader,
    leads,
    real_formats,
    share_versus,
)
from echochamber.analysis.findings.claim import ZHAO, register_claim
from echochamber.analysis.findings.evidence import Evidence, Lacking
from echochamber.analysis.trajectories import Trajectory
from echochamber.evaluation import Cell

_TOO_FEW_FORMATS = Lacking("mixtures: no arm writes two or more formats")


@register_claim(
    "no-simple-rule",
    "The winner is neither simply the most frequent format of the base model nor simply the most accurate "
    "one: each rule fails in at least one mixture.",
    source=ZHAO,
    order=30,
    needs="policy-gradient arms whose base models write two or more formats; two seeds",
    null="One of the two rules names the winner in every mixture.",
    method="For each rule, size and mixture: in all arms one format leads every other at the last step, and "
    "in the base model another format is ahead of it by the rule. This is corrected for the number of "
    "formats, sizes and mixtures. A rule is upheld where the winner and the rule's format are certain and "
    "the same everywhere.",
)
def no_simple_rule(e: Evidence) -> Statement | Lacking:
    """Finding 3."""
    arms_of: dict[Cell, list[Trajectory]] = defaultdict(list)
    for t in e.policy_gradient:
        if len(real_formats(t)) >= 2:
            arms_of[t.base].append(t)
    if not arms_of:
        return _TOO_FEW_FORMATS
    rules = {"most frequent": share_versus, "most accurate": accuracy_versus}
    found = []
    for rule, measure in rules.items():
        parts = [all_of([_breaks(e, t, rule, measure(t, 0)) for t in arms]) for arms in arms_of.values()]
        found.append(any_of(parts))
    return all_of(found)


def _breaks(e: Evidence, t: Trajectory, rule: str, base: Versus) -> Statement:
    """That the winner of an arm is certain and another format of its base model was ahead by the rule."""
    won = leader(t, -1)
    assert won is not None
    name, certain = won
    others = [f for f in real_formats(t) if f != name]
    ahead = any_of([beyond(base(other, name), +1) for other in others])
    kept = leads(name, others, base)
    said = f"{e.name(t)}: winner {name} {_sure(certain)}, {rule} in the base model: "
    said += f"another {_sure(ahead)}" if ahead.support < kept.support else f"the same {_sure(kept)}"
    broken, upheld = all_of([certain, ahead]), all_of([certain, kept])
    family = (broken.family[0], upheld.family[0])
    return Statement(broken.support, upheld.support, t.num_seeds, said, family)


def _sure(found: Statement) -> str:
    return "(p < 0.001)" if found.support < 0.001 else f"(p = {found.support:.2g})"


@register_claim(
    "scale",
    "The size of the model changes which format wins on the same mixture.",
    source=ZHAO,
    order=40,
    needs="a policy-gradient arm on one mixture at two sizes; two seeds",
    null="The same format wins at every size.",
    method="For each arm, mixture and pair of sizes: at each size one format leads every other, and the two "
    "leaders differ. One pair is enough, after correction for their number.",
)
def scale_changes_winner(e: Evidence) -> Statement | Lacking:
    """Finding 4."""
    sizes_of: dict[Cell, list[Trajectory]] = defaultdict(list)
    for t in e.policy_gradient:
        sizes_of[replace(t.cell, size="")].append(t)
    pairs = [pair for some in sizes_of.values() for pair in itertools.combinations(some, 2)]
    if not pairs:
        return Lacking("sizes: no arm was trained at two sizes on one mixture")
    parts = [p for a, b in pairs if (p := _same_winner(e, a, b)) is not None]
    return any_of([opposite(p) for p in parts]) if parts else _TOO_FEW_FORMATS


@register_claim(
    "same-winner",
    "GRPO converges to the same format as PPO.",
    source=ZHAO,
    order=50,
    needs="GRPO and PPO at the same size and mixture; two seeds",
    null="The two converge to different formats.",
    method="At every size and mixture, one format leads every other at the last step of both arms, and it "
    "is the same in both. An uncertain winner supports neither answer.",
)
def grpo_has_the_winner_of_ppo(e: Evidence) -> Statement | Lacking:
    """Finding 6, first half."""
    pairs = e.pairs("grpo", "ppo")
    if not pairs:
        return Lacking("arms: GRPO and PPO at one size and mixture")
    parts = [p for a, b in pairs if (p := _same_winner(e, a, b)) is not None]
    return all_of(parts) if parts else _TOO_FEW_FORMATS


def _same_winner(e: Evidence, a: Trajectory, b: Trajectory) -> Statement | None:
    """That the winners of two arms are certain and the same."""
    won = [leader(t, -1) for t in (a, b)]
    if won[0] is None or won[1] is None:
        return None
    (first, sure), (second, sure_too) = won[0], won[1]
    both = all_of([sure, sure_too])
    said = f"{e.name(a)} → {first} {_sure(sure)}, {e.name(b)} → {second} {_sure(sure_too)}"
    certain = Statement(both.support, 1.0, both.num_seeds, said, (both.family[0], 1.0))
    return certain if first == second else opposite(certain)
