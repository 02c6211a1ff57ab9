"""How often each claim is called reproduced where it is barely false, on simulated studies."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from echochamber.analysis.findings import CLAIMS, Evidence, judge
from echochamber.analysis.recorded import RecordedMixture, RecordedSource
from echochamber.bench.invented import InventedStudy, invented_evidence

NUM_SEEDS = 3
MOST_REPETITIONS = 500
"""A claim takes hundredths of a second per study; more repetitions would take hours for all of them."""

EVEN, TAKEN = (0.5, 0.5), (0.9, 0.1)
THIRDS = (0.34, 0.33, 0.33)

Null = Callable[[InventedStudy], Evidence]
NULLS: dict[str, Null] = {}


def null_of(key: str) -> Callable[[Null], Null]:
    """Register a study in which a claim is barely false."""

    def register(make: Null) -> Null:
        NULLS[key] = make
        return make

    return register


def false_positive_rate(key: str, rng: np.random.Generator, repetitions: int) -> float:
    """Share of studies, three seeds each, in which a claim is called reproduced although its null is true."""
    studies = (InventedStudy(rng, num_seeds=NUM_SEEDS) for _ in range(min(repetitions, MOST_REPETITIONS)))
    found = [judge(CLAIMS.get(key), NULLS[key](study)).ruling for study in studies]
    return found.count("reproduced") / len(found)


@null_of("takeover")
def _half_of_the_rise(study: InventedStudy) -> Evidence:
    curve = (0.4, 0.5, 0.6, 0.7, 0.8)  # a pass ends at step 20: exactly half-way
    return invented_evidence([study.arm("ppo", (EVEN, TAKEN, TAKEN, TAKEN, TAKEN), curve)])


@null_of("majority-vote")
def _flat_vote(study: InventedStudy) -> Evidence:
    return invented_evidence([study.arm("ppo", (EVEN, TAKEN), (0.5, 0.5))])


@null_of("coverage")
def _no_decline(study: InventedStudy) -> Evidence:
    return invented_evidence([study.arm("ppo", (EVEN,) * 3, (0.1, 0.3, 0.3), steps=(0, 10, 100))])


@null_of("kl-keeps-minorities")
def _same_at_all_coefficients(study: InventedStudy) -> Evidence:
    betas = {"ppo-0": 0.0, "ppo-a": 0.1, "ppo-b": 0.3, "ppo-c": 1.0}
    arms = [study.arm(name, (EVEN, (0.7, 0.3)), (0.4, 0.7)) for name in betas]
    return invented_evidence(arms, {name: {"kl_coefficient": beta} for name, beta in betas.items()})


@null_of("no-simple-rule")
def _rule_not_broken(study: InventedStudy) -> Evidence:
    names = ("one", "two", "three")
    arms = [study.arm("ppo", (EVEN, TAKEN), ((0.3, 0.6, 0.3, 0.0), 0.7), mixture=m) for m in names]
    return invented_evidence(arms)


@null_of("scale")
def _tie_at_the_larger_size(study: InventedStudy) -> Evidence:
    arms = [
        study.arm("ppo", (EVEN, end), (0.4, 0.7), size=size, mixture=m)
        for m in ("one", "two")
        for size, end in (("pico", TAKEN), ("nano", EVEN))
    ]
    return invented_evidence(arms)


@null_of("same-winner")
def _tie_under_ppo(study: InventedStudy) -> Evidence:
    arms = [study.arm(name, (EVEN, end), (0.4, 0.7)) for name, end in (("grpo", TAKEN), ("ppo", EVEN))]
    return invented_evidence(arms)


@null_of("more-data-more-gain")
def _same_gain(study: InventedStudy) -> Evidence:
    passes = {"x1": 1, "x2": 2, "x4": 4, "x8": 8}
    arms = [study.arm("ppo", ((1.0,), (1.0,)), (0.4, 0.6), mixture=m) for m in passes]
    mixtures = {
        m: RecordedMixture(kind="passes", passes={"tinygsm": times, "text": 1}) for m, times in passes.items()
    }
    return invented_evidence(arms, mixtures=mixtures)


@null_of("grpo-less-stable")
def _flat_but_noisier(study: InventedStudy) -> Evidence:
    arms = [study.arm(name, (EVEN,) * 12, (level,) * 12) for name, level in (("grpo", 0.5), ("ppo", 0.9))]
    return invented_evidence(arms)


@null_of("expert-iteration-lags")
def _as_good_at_equal_samples(study: InventedStudy) -> Evidence:
    arms = [
        study.arm("expert_iteration", (EVEN, (0.6, 0.4), (0.6, 0.4)), (0.4, 0.6, 0.6)),
        study.arm("ppo", (EVEN, TAKEN, TAKEN), (0.4, 0.6, 0.6)),
    ]
    return invented_evidence(arms)


@null_of("transfer")
def _no_transfer(study: InventedStudy) -> Evidence:
    arms = [study.arm("ppo", (EVEN, TAKEN), (0.4, 0.8))]
    return invented_evidence(arms, others=[study.arm("ppo", (EVEN, TAKEN), (0.3, 0.3), benchmark="hard")])


@null_of("tilt-names-winner")
def _winners_by_lot(study: InventedStudy) -> Evidence:
    arms = []
    for mixture in ("one", "two", "three", "four"):
        end = np.roll((0.9, 0.05, 0.05), int(study.rng.integers(3)))
        arms.append(study.arm("ppo", (THIRDS, tuple(end)), (0.4, 0.8), mixture=mixture))
    return invented_evidence(arms)


@null_of("nothing-from-nothing")
def _comes_out_at_the_bound(study: InventedStudy) -> Evidence:
    arms = [study.arm("ppo", ((1.0,), (0.98, 0.02)), (0.4, 0.8))]
    formats = {"code": "tinygsm", "prose": "boxed"}
    sources = {name: RecordedSource(kind="word_problems", format=f) for name, f in formats.items()}
    mixture = RecordedMixture(kind="controlled", shares={"code": 1.0})
    return invented_evidence(arms, mixtures={"mixed": mixture}, sources=sources)


@null_of("no-signal-no-gain")
def _gains_the_margin(study: InventedStudy) -> Evidence:
    control = study.arm("random", (EVEN, EVEN), (0.5, 0.55))
    return invented_evidence([], controls=[control])
