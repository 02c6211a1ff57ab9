"""`grade`: any file of completions, whoever wrote them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from echochamber.base import say


def grade(
    file: Annotated[
        Path,
        typer.Argument(help="JSON Lines, JSON, CSV or Parquet, one completion per row.", show_default=False),
    ],
    completion: Annotated[str, typer.Option(help="Key of the completion.")] = "completion",
    gold: Annotated[str, typer.Option(help="Key of the correct answer.")] = "gold",
    rules: Annotated[
        str, typer.Option(help="How answers are compared with the gold: gsm8k, math or aime.")
    ] = "gsm8k",
    out: Annotated[
        Path | None, typer.Option(help="Write one JSON line a row: format, outcome, answer, reward.")
    ] = None,
    tier: Annotated[
        list[int] | None,
        typer.Option("--tier", min=1, max=2, help="Sandbox tiers that programs may use. Repeatable."),
    ] = None,
    reward_stated: Annotated[
        bool, typer.Option("--reward-stated", help="Pay llm_code by its final \\boxed, not by its program.")
    ] = False,
    unsafe_unconfined: Annotated[
        bool,
        typer.Option("--unsafe-unconfined", help="UNSAFE: run tier 2 where the system cannot confine it."),
    ] = False,
) -> None:
    """Grade a file of completions and print the share and accuracy of each format.

    Tier 1 runs programs in an interpreter of its own; tier 2 adds confined CPython with numpy and sympy.
    A program that needs a tier not given here is `unsupported` and earns 0.
    """
    from echochamber.cli.terminal import print_rows
    from echochamber.verify import grade_file

    summary = grade_file(
        file, completion=completion, gold=gold, rules=rules, out=out, tiers=tuple(tier or (1,)),
        reward_stated=reward_stated, unsafe_unconfined=unsafe_unconfined,
    )  # fmt: skip
    rows = [
        {
            "format": name,
            "completions": summary.counts[name],
            "share": f"{summary.share[name]:.4f}",
            "accuracy": "" if summary.accuracy[name] is None else f"{summary.accuracy[name]:.4f}",
        }
        for name in summary.counts
        if summary.counts[name]
    ]
    rows.append(
        {
            "format": "all",
            "completions": summary.total,
            "share": "1.0000",
            "accuracy": f"{summary.mean_reward:.4f}",
        }
    )
    print_rows(rows, title=str(file))
    print_rows([{"outcome": k, "completions": v} for k, v in summary.outcomes.items() if v], title="Outcomes")
    unsupported = summary.outcomes["unsupported"]
    if unsupported and 2 not in (tier or (1,)):
        say(
            f"{unsupported} of {summary.total} completions hold a program that tier 1 cannot run and earn 0. "
            f"{_way_to_tier_2()}"
        )
    if summary.stated:
        say(
            f"{summary.stated} completions with code state an answer in their text too; in "
            f"{summary.disagreements} of them code and text differ in being right"
        )


def _way_to_tier_2() -> str:
    """What runs the programs that tier 1 cannot run, or why nothing here does."""
    from echochamber.base import InputError
    from echochamber.verify import require_confinement

    try:
        require_confinement()
    except InputError as error:
        return f"On this machine {error}"
    return "Add --tier 1 --tier 2 to run these in confined CPython with numpy and sympy"


def add_to(app: typer.Typer) -> None:
    """Register the commands of this file."""
    app.command()(grade)
