"""Every claim on invented studies in which it is true, false, and unknowable."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from echochamber.analysis import Run
from echochamber.analysis.contrasts import Statement, beyond
from echochamber.analysis.findings import (
    CLAIMS,
    Evidence,
    Lacking,
    claims_in_order,
    findings,
    judge,
    register_claim,
)
from echochamber.analysis.findings.claim import ONE_SEED, OURS, ZHAO, Claim
from echochamber.analysis.recorded import RecordedMixture, RecordedSource
from echochamber.base import InputError
from echochamber.bench.finding_nulls import NULLS, false_positive_rate
from echochamber.bench.invented import InventedStudy, invented_evidence

Make = Callable[[InventedStudy], Evidence]
EVEN, FEW, MOST = (0.5, 0.5), (0.1, 0.9), (0.9, 0.1)
CODE = RecordedSource(kind="word_problems", format="tinygsm")


def _one(shares: tuple[tuple[float, ...], ...], accuracy: tuple[float, ...], **keys: object) -> Make:
    return lambda s: invented_evidence([s.arm("ppo", shares, accuracy, **keys)])  # type: ignore[arg-type]


def _two(first: str, second: str, ends: tuple[tuple[float, ...], ...]) -> Make:
    return lambda s: invented_evidence(
        [s.arm(name, (EVEN, end), (0.4, 0.7)) for name, end in zip((first, second), ends, strict=True)]
    )


def _betas(*kept: float) -> Make:
    names = [f"ppo-{i}" for i in range(len(kept))]
    configs = {name: {"kl_coefficient": 0.1 * i} for i, name in enumerate(names)}
    return lambda s: invented_evidence(
        [s.arm(n, (EVEN, (1.0 - k, k)), (0.4, 0.7)) for n, k in zip(names, kept, strict=True)], configs
    )


def _mixtures(end: tuple[float, ...], skill: tuple[float, ...], base: tuple[float, ...] = (0.3, 0.7)) -> Make:
    return lambda s: invented_evidence(
        [s.arm("ppo", (base, end), (skill, 0.8), mixture=m) for m in ("one", "two", "three")]
    )


def _sizes(small: tuple[float, ...], large: tuple[float, ...]) -> Make:
    return lambda s: invented_evidence(
        [s.arm("ppo", (EVEN, end), (0.4, 0.7), size=n) for n, end in (("pico", small), ("nano", large))]
    )


def _passes(*gains: float) -> Make:
    names = [f"x{2**i}" for i in range(len(gains))]
    mixtures = {
        n: RecordedMixture(kind="passes", passes={"tinygsm": 2**i, "text": 1}) for i, n in enumerate(names)
    }
    return lambda s: invented_evidence(
        [
            s.arm("ppo", ((1.0,), (1.0,)), (0.4, 0.4 + g), mixture=n)
            for n, g in zip(names, gains, strict=True)
        ],
        mixtures=mixtures,
    )


def _curves(grpo: tuple[float, ...], ppo: tuple[float, ...]) -> Make:
    return lambda s: invented_evidence(
        [s.arm(name, (EVEN,) * len(c), c) for name, c in (("grpo", grpo), ("ppo", ppo))]
    )


def _iteration(end: float, moved: tuple[float, ...]) -> Make:
    return lambda s: invented_evidence(
        [
            s.arm("expert_iteration", (EVEN, moved), (0.4, end)),
            s.arm("ppo", (EVEN, (0.75, 0.25)), (0.4, 0.7)),
        ]
    )


def _elsewhere(*rates: float) -> Make:
    return lambda s: invented_evidence(
        [s.arm("ppo", (EVEN, MOST), (0.4, 0.8))],
        others=[s.arm("ppo", (EVEN, MOST), rates, benchmark="hard")],
    )


def _lacking(after: float) -> Make:
    return lambda s: invented_evidence(
        [s.arm("ppo", ((1.0,), (1.0 - after, after)), (0.4, 0.8))],
        mixtures={"mixed": RecordedMixture(kind="controlled", shares={"code": 1.0, "prose": 0.0})},
        sources={"code": CODE, "prose": RecordedSource(kind="word_problems", format="boxed")},
    )


def _control(end: float) -> Make:
    return lambda s: invented_evidence([], controls=[s.arm("random", (EVEN, EVEN), (0.5, end))])


FLAT = (0.6,) * 8
COLLAPSES = (0.6, 0.6, 0.65, 0.3, 0.6, 0.65, 0.6, 0.6)
# Per claim: where it is true, where it is false, where nobody can tell.
CASES: dict[str, tuple[Make, Make, Make]] = {
    "takeover": (
        _one((EVEN, MOST, MOST, MOST, MOST), (0.3, 0.6, 0.75, 0.78, 0.8)),
        _one((EVEN, EVEN, EVEN, MOST, MOST), (0.3, 0.32, 0.35, 0.7, 0.85)),
        _one((EVEN,) * 5, (0.5,) * 5),
    ),
    "majority-vote": (
        _one((EVEN, EVEN), (0.3, 0.7)),
        _one((EVEN, EVEN), (0.7, 0.3)),
        _one((EVEN, EVEN), (0.5, 0.5)),
    ),
    "coverage": (
        _one((EVEN,) * 3, (0.05, 0.4, 0.08), steps=(0, 10, 100)),
        _one((EVEN,) * 3, (0.05, 0.1, 0.5), steps=(0, 10, 100)),
        _one((EVEN,) * 3, (0.3, 0.3, 0.3), steps=(0, 10, 100)),
    ),
    "kl-keeps-minorities": (_betas(0.02, 0.1, 0.2, 0.35), _betas(0.35, 0.2, 0.1, 0.02), _betas(0.2, 0.2)),
    "no-simple-rule": (
        _mixtures(MOST, (0.3, 0.6, 0.5, 0.0)),
        _mixtures(FEW, (0.3, 0.6, 0.5, 0.0)),
        _mixtures(EVEN, (0.4, 0.4, 0.4, 0.0)),
    ),
    "scale": (_sizes(MOST, FEW), _sizes(MOST, MOST), _sizes(MOST, EVEN)),
    "same-winner": (
        _two("grpo", "ppo", (MOST, MOST)),
        _two("grpo", "ppo", (MOST, FEW)),
        _two("grpo", "ppo", (MOST, EVEN)),
    ),
    "more-data-more-gain": (
        _passes(0.05, 0.15, 0.3, 0.45),
        _passes(0.45, 0.3, 0.15, 0.05),
        _passes(0.2, 0.2, 0.2, 0.2),
    ),
    "grpo-less-stable": (_curves(COLLAPSES, FLAT), _curves(FLAT, COLLAPSES), _curves(FLAT, FLAT)),
    "expert-iteration-lags": (
        _iteration(0.45, (0.55, 0.45)),
        _iteration(0.9, (0.99, 0.01)),
        _iteration(0.7, (0.55, 0.45)),
    ),
    "transfer": (_elsewhere(0.2, 0.5), _elsewhere(0.5, 0.2), _elsewhere(0.3, 0.3)),
    "tilt-names-winner": (
        lambda s: invented_evidence(
            [
                s.arm("ppo", ((0.4, 0.3, 0.3), (0.9, 0.05, 0.05)), (0.5, 0.8), mixture=m)
                for m in ("one", "two", "three", "four")
            ]
        ),
        lambda s: invented_evidence([s.arm("ppo", ((0.2, 0.7, 0.1), (0.9, 0.05, 0.05)), (0.5, 0.8))]),
        lambda s: invented_evidence([s.arm("ppo", ((0.4, 0.3, 0.3), (0.9, 0.05, 0.05)), (0.5, 0.8))]),
    ),
    "nothing-from-nothing": (
        lambda s: _lacking(0.0)(InventedStudy(s.rng, num_seeds=s.num_seeds, num_problems=400)),
        _lacking(0.2),
        lambda s: _lacking(0.0)(InventedStudy(s.rng, num_seeds=s.num_seeds, num_problems=40)),
    ),
    "no-signal-no-gain": (_control(0.47), _control(0.75), _control(0.55)),
}  # fmt: skip


def _verdicts(make: Make, key: str, *, num_seeds: int = 4) -> list[str]:
    studies = [
        InventedStudy(np.random.default_rng(seed), num_seeds=num_seeds, num_problems=150) for seed in range(5)
    ]
    return [judge(CLAIMS.get(key), make(study)).ruling for study in studies]


def test_every_claim_has_cases_and_a_null() -> None:
    assert [claim.key for claim in claims_in_order()] == list(CASES)
    assert set(NULLS) == set(CASES)
    assert {CLAIMS.get(key).source for key in CLAIMS} == {ZHAO, OURS}


@pytest.mark.parametrize("key", CASES)
def test_a_claim_where_it_is_true(key: str) -> None:
    found = _verdicts(CASES[key][0], key)
    assert found.count("reproduced") >= 4 and "contradicted" not in found, found


@pytest.mark.parametrize("key", CASES)
def test_a_claim_where_it_is_false(key: str) -> None:
    found = _verdicts(CASES[key][1], key)
    assert found.count("contradicted") >= 4 and "reproduced" not in found, found


@pytest.mark.parametrize("key", CASES)
def test_a_claim_where_it_is_unknowable(key: str) -> None:
    found = _verdicts(CASES[key][2], key)
    assert found.count("inconclusive") >= 4, found


@pytest.mark.parametrize("key", CASES)
def test_one_seed_gives_numbers_and_no_verdict(key: str) -> None:
    found = judge(CLAIMS.get(key), CASES[key][0](InventedStudy(np.random.default_rng(0), num_seeds=1)))
    assert (found.ruling, found.reason, found.p_value) == ("not testable", ONE_SEED, None)
    assert found.evidence.startswith("In this run: ")
    assert not re.search(r"[+-]\d{3}\.\d", found.evidence), "an interval wider than everything there is"


@pytest.mark.parametrize("key", CASES)
def test_a_run_that_lacks_what_a_claim_needs_says_what(key: str) -> None:
    found = judge(CLAIMS.get(key), invented_evidence([]))
    assert found.ruling == "not testable"
    assert found.reason.partition(":")[0] in ("arms", "sizes", "mixtures", "steps", "benchmarks")


@pytest.mark.parametrize("key", ["grpo-less-stable", "majority-vote", "no-signal-no-gain"])
def test_false_positives_stay_within_the_level(key: str) -> None:
    # 2.5 % are expected; more than 12 of 100 would happen by chance once in 100,000 times.
    assert false_positive_rate(key, np.random.default_rng(1), 100) <= 0.12


def _reasons(make: Make, key: str) -> str:
    return judge(CLAIMS.get(key), make(InventedStudy(np.random.default_rng(0)))).reason


def test_the_last_step_never_stands_in_for_the_first_pass() -> None:
    shares, rates = (EVEN, MOST, MOST), (0.3, 0.7, 0.8)
    for steps in ((0, 100, 200), (0, 5, 20), (0, 2, 10)):  # a pass ends at step 20
        assert "near one pass" in _reasons(_one(shares, rates, steps=steps), "takeover")
    unknown: Make = lambda s: invented_evidence([s.arm("ppo", shares, rates)], questions=0)  # noqa: E731
    assert "how many questions" in _reasons(unknown, "takeover")


def test_expert_iteration_without_an_equal_budget_is_not_compared() -> None:
    def make(s: InventedStudy) -> Evidence:
        return invented_evidence(
            [s.arm("expert_iteration", (EVEN, MOST), (0.4, 0.5)), s.arm("ppo", (EVEN, MOST), (0.4, 0.7))],
            samples_per_step={"expert_iteration": 3200.0},
        )

    assert "equal numbers of samples" in _reasons(make, "expert-iteration-lags")


def test_arms_that_differ_in_more_than_the_coefficient_are_no_trend() -> None:
    configs = {
        "ppo-0": {"kl_coefficient": 0.0, "steps": 10},
        "ppo-1": {"kl_coefficient": 0.1, "steps": 20},
    }
    make: Make = lambda s: invented_evidence(  # noqa: E731
        [s.arm(name, (EVEN, MOST), (0.4, 0.7)) for name in configs], configs
    )
    assert "only in their KL coefficient" in _reasons(make, "kl-keeps-minorities")


def test_a_format_that_no_source_has_says_nothing_about_nothing() -> None:
    make: Make = lambda s: invented_evidence(  # noqa: E731
        [s.arm("ppo", ((1.0,), (1.0,)), (0.4, 0.7))],
        mixtures={"mixed": RecordedMixture(kind="controlled", shares={"code": 1.0})},
        sources={"code": CODE},
    )
    assert _reasons(make, "nothing-from-nothing").startswith("mixtures")


def test_the_page_of_claims_says_what_the_code_does() -> None:
    path = Path(__file__).parents[2] / "docs" / "findings.md"
    written = path.read_text(encoding="utf-8")
    assert re.findall("^## `(.+)`$", written, re.MULTILINE) == [claim.key for claim in claims_in_order()]
    text = " ".join(written.split())
    for claim in claims_in_order():
        for part in (claim.statement, claim.source, claim.needs, claim.null, claim.method):
            assert part in text, (claim.key, part)


def test_a_claim_of_the_user_s_own_is_one_function(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CLAIMS, "_entries", dict(CLAIMS._entries) if len(CLAIMS) else {})

    @register_claim(
        "first-arm-gains",
        "The first arm gains.",
        source="me",
        needs="an arm",
        null="It does not.",
        method="t",
    )
    def first_arm_gains(e: Evidence) -> Statement | Lacking:
        return beyond(e.arms[0].gain(), +1) if e.arms else Lacking("arms: none")

    found = findings(run)
    assert [f.key for f in found] == [*CASES, "first-arm-gains"]
    assert found[-1].statement == "The first arm gains."
    assert judge(CLAIMS.get("first-arm-gains"), invented_evidence([])).reason == "arms: none"


def test_a_claim_that_says_nothing_is_named() -> None:
    claim = Claim("mute", "It speaks.", "me", "nothing", "It does not.", "t", test=lambda e: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(InputError, match="the claim 'mute' gave None; expected a Statement or what is Lack"):
        judge(claim, invented_evidence([]))
