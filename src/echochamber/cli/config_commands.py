"""`config show` and `config schema`: what a study file says and what it may say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from echochamber.base import say
from echochamber.cli.study_commands import SET, STUDY

app = typer.Typer(help="Show a study's resolved config or the schema.", no_args_is_help=True)


@app.command()
def show(study: Annotated[Path, STUDY], overrides: Annotated[list[str] | None, SET] = None) -> None:
    """Print a study with every default filled in.

    A study with a sweep is printed once per point of the sweep.
    """
    import yaml

    from echochamber.study import load_study

    for label, config in load_study(study, overrides or []):
        if label:
            say(f"# sweep: {label}")
        say(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True))


@app.command()
def schema() -> None:
    """Print the JSON schema of study files.

    With it, an editor can complete and check a study as you write it.
    """
    import json

    from echochamber.study import StudyConfig

    say(json.dumps(StudyConfig.model_json_schema(), indent=2))


def add_to(parent: typer.Typer) -> None:
    """Register the group `config`."""
    parent.add_typer(app, name="config")
