"""`findings`: what a run says about the endpoints of its study and every claim it can test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from echochamber.base import say
from echochamber.cli.study_commands import MODULE, RUN, RUNS


def findings(
    run: Annotated[str, RUN],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False,
    modules: Annotated[list[str] | None, MODULE] = None,
    runs: Annotated[Path, RUNS] = Path("runs"),
) -> None:
    """Print the outcome of every endpoint and claim of a run.

    The run's report shows the same outcomes.
    """
    from echochamber.analysis import Run, rulings
    from echochamber.study import find_run, import_modules

    import_modules(modules or ())
    found = rulings(Run(find_run(run, runs)))
    if as_json:
        say(json.dumps(found, indent=2, ensure_ascii=True, allow_nan=False))
        return
    for result in found["endpoints"]:
        _say_endpoint(result)
    for finding in found["findings"]:
        _say_finding(finding)
    if not found["endpoints"] and not found["findings"]:
        say("nothing to test: the study names no endpoints, and the run has no arm")


def _say_endpoint(result: dict[str, Any]) -> None:
    say(f"{result['ruling']}: {result['endpoint']['name']} ({result['where']})")
    if result["reason"]:
        say(f"    {result['reason']}")
        return
    measured, reference, change = (_interval(result[key]) for key in ("value", "reference", "difference"))
    say(f"    {measured} against {reference}; difference in points {change}")
    say(
        f"    p = {result['p_value']:.2g}, after correction for all endpoints {result['adjusted_p']:.2g}; "
        f"{_seeds(result['num_seeds'])}"
    )


def _say_finding(finding: dict[str, Any]) -> None:
    say(f"{finding['ruling']}: {finding['statement']}")
    if finding["reason"]:
        say(f"    {finding['reason']}")
    if finding["evidence"]:
        say(f"    {finding['evidence']}")
    if finding["p_value"] is not None:
        say(f"    p = {finding['p_value']:.2g}; {_seeds(finding['num_seeds'])}; null: {finding['null']}")
    say(f"    statement of {finding['source']}")


def _interval(values: list[float] | None) -> str:
    if values is None or None in values:
        return "-"
    estimate, low, high = (100.0 * value for value in values)
    return f"{estimate:.1f} [{low:.1f}, {high:.1f}]"


def _seeds(count: int) -> str:
    return f"{count} seed" if count == 1 else f"{count} seeds"


def add_to(app: typer.Typer) -> None:
    """Register the command of this file."""
    app.command()(findings)
