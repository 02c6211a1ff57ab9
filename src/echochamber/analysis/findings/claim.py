"""What a claim is, and how a run rules on it."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from echochamber.analysis.contrasts import Statement
from echochamber.analysis.findings.evidence import Evidence, Lacking
from echochamber.base import InputError, Registry

Ruling = Literal["reproduced", "contradicted", "inconclusive", "not testable"]

ZHAO = "Zhao et al. 2025 (arXiv:2504.07912)"
OURS = "this project"

Test = Callable[[Evidence], Statement | Lacking]


@dataclass(frozen=True)
class Claim:
    """One statement that a run can test.

    Attributes:
        key: a short name.
        statement: the claim in one sentence.
        source: whose statement it is.
        needs: what a run must have for it to be tested.
        null: what is true if the claim is not.
        method: how the two are told apart.
        test: the function that tests it, or says what the run lacks.
        order: its place among the claims, smallest first; the paper's order, then what a user registers.
    """

    key: str
    statement: str
    source: str
    needs: str
    null: str
    method: str
    test: Test
    order: float = 1000.0


@dataclass(frozen=True)
class Finding:
    """One claim and what this run says about it.

    Attributes:
        key, statement, source, null: of the claim.
        ruling: `reproduced` or `contradicted` when the data exclude the opposite at the 5 % level,
            `inconclusive` when they exclude neither, `not testable` when the run cannot tell.
        evidence: the numbers behind the ruling; with one seed, the numbers of that run.
        reason: why it is not testable, otherwise empty.
        p_value: of the null that the ruling excludes, or the smaller of the two; None if not testable.
        num_seeds: training runs behind the numbers.
    """

    key: str
    statement: str
    source: str
    null: str
    ruling: Ruling
    evidence: str
    reason: str = ""
    p_value: float | None = None
    num_seeds: int = 0


_FOLDER = Path(__file__).parent / "claims"
_MODULES = tuple(f"{__package__}.claims.{found.name}" for found in pkgutil.iter_modules([str(_FOLDER)]))
CLAIMS: Registry[Claim] = Registry("claim", _MODULES)

_RULINGS: dict[str, Ruling] = {
    "supported": "reproduced",
    "contradicted": "contradicted",
    "open": "inconclusive",
}
ONE_SEED = "seeds: one seed says nothing about algorithms or mixtures"


def register_claim(
    key: str, statement: str, *, source: str, needs: str, null: str, method: str, order: float = 1000.0
) -> Callable[[Test], Test]:
    """Decorator: add a claim to every page, tested by the function below. The arguments are those of `Claim`.

    Raises:
        InputError: the key is taken.
    """

    def register(test: Test) -> Test:
        CLAIMS.register(key, Claim(key, statement, source, needs, null, method, test, order))
        return test

    return register


def claims_in_order() -> list[Claim]:
    """Every registered claim, those of the paper first."""
    return sorted(map(CLAIMS.get, CLAIMS), key=lambda claim: claim.order)


def judge(claimed: Claim, evidence: Evidence) -> Finding:
    """What the evidence says about one claim.

    Raises:
        InputError: its function gave something else than a statement.
    """
    found = claimed.test(evidence)
    about = (claimed.key, claimed.statement, claimed.source, claimed.null)
    if isinstance(found, Lacking):
        return Finding(*about, "not testable", "", found.reason)
    if not isinstance(found, Statement):
        raise InputError(f"the claim '{claimed.key}' gave {found!r}; expected a Statement or what is Lacking")
    if found.num_seeds < 2:
        return Finding(
            *about, "not testable", f"In this run: {found.evidence}", ONE_SEED, None, found.num_seeds
        )
    return Finding(
        *about,
        _RULINGS[found.outcome],
        found.evidence,
        p_value=min(found.support, found.against),
        num_seeds=found.num_seeds,
    )
