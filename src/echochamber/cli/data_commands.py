"""`data`: look at sources, problems and formats before training on them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from echochamber.base import say
from echochamber.cli.study_commands import RUNS, SET, STUDY

app = typer.Typer(help="Prepare and look at training data.", no_args_is_help=True)


@app.command()
def show(
    study: Annotated[Path, STUDY],
    num: Annotated[int, typer.Option(min=1, metavar="N", help="Documents shown per source.")] = 3,
    overrides: Annotated[list[str] | None, SET] = None,
) -> None:
    """Print the first training documents of each source of a study."""
    from echochamber.study import first_examples, open_study

    for name, examples in first_examples(open_study(study, overrides or []).config, num).items():
        for example in examples:
            mark = "" if example.correct else "  (wrong on purpose)"
            question = f"{example.question}\n\n" if example.question is not None else ""
            say(f"--- {name}{mark}\n{question}{example.solution}")


@app.command()
def prepare(
    study: Annotated[Path, STUDY],
    overrides: Annotated[list[str] | None, SET] = None,
    runs: Annotated[Path, RUNS] = Path("runs"),
) -> None:
    """Make only the data of a study.

    These are its problem sets, its tokenizer and its tokenized mixtures; `run` continues from there.
    """
    from echochamber.study import open_study, run_study

    run_study(
        open_study(study, overrides or [], runs),
        only=("questions", "problems", "documents", "tokenizer", "check", "mixture"),
    )


@app.command()
def formats(
    study: Annotated[
        Path | None,
        typer.Argument(help="Also classify the documents of this study's sources.", show_default=False),
    ] = None,
    num: Annotated[int, typer.Option(min=1, metavar="N", help="Documents per format or source.")] = 500,
    overrides: Annotated[list[str] | None, SET] = None,
) -> None:
    """Print how well answer formats are recognized.

    This is done first on generated documents of every format, then on texts written to mislead.
    """
    from echochamber.cli.terminal import print_rows
    from echochamber.formats import quality
    from echochamber.study import labeled_examples

    groups = {
        "rendered documents": labeled_examples(study, overrides or [], num),
        "texts written to mislead": None,
    }
    for title, examples in groups.items():
        found = quality(examples) if examples is not None else quality()
        rows = [
            {"expected": expected, **given} for expected, given in found.counts.items() if any(given.values())
        ]
        print_rows(rows, title=f"{title}: {found.correct} of {found.total} recognized")
        for expected, given, text in found.mistakes:
            say(f"expected {expected}, found {given}: {text[:200]!r}")


@app.command("stand-in")
def stand_in(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder to write.", show_default=False)],
    documents: Annotated[int, typer.Option(min=1, metavar="N", help="Documents per corpus.")] = 2000,
    problems: Annotated[int, typer.Option(min=1, metavar="N", help="Problems per benchmark.")] = 100,
    seed: Annotated[int, typer.Option(metavar="SEED", help="Seed of the generated text.")] = 0,
) -> None:
    """Write small generated files in the layout of the hub.

    They replace corpora and benchmarks of the Hugging Face hub, so that a study that uses them can be tried
    offline.

    \b
    echochamber data stand-in hub
    ECHOCHAMBER_HUB_MIRROR=hub echochamber run studies/paper-mini.yaml
    """
    from echochamber.corpora import write_stand_ins

    for path in write_stand_ins(folder, documents=documents, problems=problems, seed=seed):
        say(str(path))
    say(f"use it with: ECHOCHAMBER_HUB_MIRROR={folder} echochamber run STUDY.yaml")


def add_to(parent: typer.Typer) -> None:
    """Register the group `data`."""
    parent.add_typer(app, name="data")
