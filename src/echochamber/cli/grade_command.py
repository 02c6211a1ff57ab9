"""`grade`: any file of completions, from any model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from echochamber.base import say

if TYPE_CHECKING:
    from echochamber.verify import GradeSummary


FILE = typer.Argument(
    metavar="FILE", help="JSON Lines, JSON, CSV or Parquet, one completion per row.", show_default=False
)
COMPLETION = typer.Option(metavar="KEY", help="Key of the completion.")
GOLD = typer.Option(metavar="KEY", help="Key of the correct answer.")
RULES = typer.Option(metavar="RULES", help="How answers are compared: gsm8k, math or aime.")
OUT = typer.Option(metavar="FILE", help="Write one JSON line per row: format, outcome, answer, reward.")
TIER = typer.Option(
    "--tier", min=1, max=2, metavar="TIER", help="Sandbox tier that programs may use. Repeatable."
)
STATED = typer.Option("--reward-stated", help="Reward llm_code by its final \\boxed, not by its program.")
UNCONFINED = typer.Option(
    "--unsafe-unconfined", help="UNSAFE: run tier 2 where the system cannot confine it."
)


def grade(
    file: Annotated[Path, FILE],
    completion: Annotated[str, COMPLETION] = "completion",
    gold: Annotated[str, GOLD] = "gold",
    rules: Annotated[str, RULES] = "gsm8k",
    out: Annotated[Path | None, OUT] = None,
    tier: Annotated[list[int] | None, TIER] = None,
    reward_stated: Annotated[bool, STATED] = False,
    unsafe_unconfined: Annotated[bool, UNCONFINED] = False,
) -> None:
    """Grade a file of completions from any model.

    This prints the share and the accuracy of each format.

    Tier 1 runs programs in an interpreter of its own and is the default; tier 2 adds confined CPython with
    numpy and sympy. A program that needs a tier not given here is `unsupported` and earns 0.

    \b
    echochamber grade answers.jsonl --completion text --tier 1 --tier 2
    """
    from echochamber.verify import grade_file

    tiers = tuple(tier or (1,))
    summary = grade_file(
        file, completion=completion, gold=gold, rules=rules, out=out, tiers=tiers,
        reward_stated=reward_stated, unsafe_unconfined=unsafe_unconfined,
    )  # fmt: skip
    _show(summary, str(file), tiers)


def _show(summary: GradeSummary, title: str, tiers: tuple[int, ...]) -> None:
    from echochamber.cli.terminal import print_rows

    rows = [
        {
            "format": name,
            "completions": count,
            "share": f"{summary.share[name]:.4f}",
            "accuracy": "" if summary.accuracy[name] is None else f"{summary.accuracy[name]:.4f}",
        }
        for name, count in summary.counts.items()
        if count
    ]
    whole = {"format": "all", "completions": summary.total, "share": "1.0000"}
    print_rows([*rows, {**whole, "accuracy": f"{summary.mean_reward:.4f}"}], title=title)
    print_rows([{"outcome": k, "completions": v} for k, v in summary.outcomes.items() if v], title="Outcomes")
    unsupported = summary.outcomes["unsupported"]
    if unsupported and 2 not in tiers:
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
    """How to run the programs that tier 1 cannot run, or why this machine cannot."""
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
