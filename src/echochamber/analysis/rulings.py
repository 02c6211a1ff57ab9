"""The outcomes of endpoints and claims as plain data, for `summary.json` and the command line."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from echochamber.analysis.endpoint_results import EndpointResult, endpoint_results
from echochamber.analysis.findings import findings
from echochamber.analysis.intervals import Interval
from echochamber.analysis.runs import Run
from echochamber.analysis.trajectories import trajectories

DIGITS = 6
"""Significant digits that are kept: the last digits of a float depend on the machine and mean nothing."""


def rulings(run: Run) -> dict[str, list[dict[str, Any]]]:
    """What the report says about endpoints and claims: `endpoints` and `findings`, lists of plain mappings.

    Raises:
        EchoError: the records of the run are damaged.
    """
    found = trajectories(run)
    return {
        "endpoints": [_endpoint(result) for result in endpoint_results(run)],
        "findings": [_plain(asdict(f)) for f in findings(run)] if any(not t.is_base for t in found) else [],
    }


def _endpoint(result: EndpointResult) -> dict[str, Any]:
    stated = result.endpoint.model_dump(mode="json", exclude_defaults=True)
    intervals = ("value", "reference", "difference")
    plain: dict[str, Any] = _plain(
        {
            "endpoint": stated,
            "where": result.where,
            "ruling": result.ruling,
            "reason": result.reason,
            **{name: _interval(getattr(result, name)) for name in intervals},
            "p_value": result.p_value,
            "adjusted_p": result.adjusted_p,
            "num_seeds": result.num_seeds,
        }
    )
    return plain


def _interval(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.estimate, interval.low, interval.high]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value
