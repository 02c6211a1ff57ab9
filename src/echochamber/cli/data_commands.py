"""`data`: look at sources, problems and formats before training on them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from echochamber.cli.runs import RUNS, SET, STUDY

app = typer.Typer(help="Prepare and look at training data.", no_args_is_help=True)


@app.command()
def show(
    study: Annotated[Path, STUDY],
    num: Annotated[int, typer.Option(min=1, help="Documents to show of each source.")] = 3,
    overrides: Annotated[list[str] | None, SET] = None,
) -> None:
    """Print the first training documents of each source of a study."""
    from echochamber.study import open_study
    from echochamber.study.sampling import first_examples

    for name, examples in first_examples(open_study(study, overrides or []), num).items():
        for example in examples:
            mark = "" if example.correct else "  (wrong on purpose)"
            question = f"{example.question}\n\n" if example.question is not None else ""
            typer.echo(f"--- {name}{mark}\n{question}{example.solution}")


@app.command()
def prepare(
    study: Annotated[Path, STUDY],
    overrides: Annotated[list[str] | None, SET] = None,
    runs: Annotated[Path, RUNS] = Path("runs"),
) -> None:
    """Make only the data stages of a study: problem sets, tokenizer, tokenised mixtures."""
    from echochamber.study import open_study, run_study

    run_study(
        open_study(study, overrides or [], runs),
        only=("problems", "tokenizer", "check", "mixture"),
        say=typer.echo,
    )


def add_to(parent: typer.Typer) -> None:
    """Register the group `data`."""
    parent.add_typer(app, name="data")
