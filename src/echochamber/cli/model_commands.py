"""`export` and `import`: models from studies for other software, and models from elsewhere for studies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from echochamber.base import say
from echochamber.cli.study_commands import ARM, MIXTURE, RUNS, SEED, SET, SIZE, STUDY, SWEEP

TO = typer.Option("--to", metavar="FOLDER", help="New folder to write.", show_default=False)


def export(
    study: Annotated[Path, STUDY],
    to: Annotated[Path, TO],
    arm: Annotated[str, ARM] = "base",
    size: Annotated[str | None, SIZE] = None,
    mixture: Annotated[str | None, MIXTURE] = None,
    seed: Annotated[int | None, SEED] = None,
    sweep: Annotated[str | None, SWEEP] = None,
    dtype: Annotated[
        str | None, typer.Option(metavar="DTYPE", help="float32, bfloat16 or float16; by default as trained.")
    ] = None,
    overrides: Annotated[list[str] | None, SET] = None,
    runs: Annotated[Path, RUNS] = Path("runs"),
) -> None:
    """Write a trained model in a form that transformers loads.

    The folder holds the model and its tokenizer.

    \b
    echochamber export studies/demo.yaml --arm grpo --to exported
    """
    from echochamber.study import export_model, open_study

    opened = open_study(study, overrides or [], runs)
    item = export_model(opened, to, arm=arm, size=size, mixture=mixture, seed=seed, sweep=sweep, dtype=dtype)
    say(
        f"{to}: {item.stage.title}; load it with AutoModelForCausalLM.from_pretrained and "
        "AutoTokenizer.from_pretrained. Prompts are question.rstrip() + a blank line"
    )


def import_folder(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="Folder of an OLMo-1 model and tokenizer.", show_default=False),
    ],
    to: Annotated[Path, TO],
) -> None:
    """Copy a model made elsewhere to start a study from.

    It must be an OLMo-1 model with its tokenizer, as written by transformers (OlmoForCausalLM) or by the
    original code. The copy is verified.
    """
    from echochamber.cli.terminal import print_rows
    from echochamber.study import import_model

    print_rows([import_model(folder, to)], title=f"{folder} as {to}")
    say(f"start from it in a study with  models: {{NAME: {{path: {to}}}}}")


def add_to(app: typer.Typer) -> None:
    """Register the commands of this file."""
    app.command()(export)
    app.command("import")(import_folder)
