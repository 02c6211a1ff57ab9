"""Help as a terminal of 80 columns shows it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer

from echochamber.cli.main import app, run_cli


def _commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from _commands(inner, (*path, name))


COMMANDS = dict(_commands(typer.main.get_command(app)))
GROUPS = [path for path, command in COMMANDS.items() if getattr(command, "commands", None)]


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("path", GROUPS, ids=" ".join)
def test_each_summary_fits_its_line(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli([*path, "--help"]) == 0
    _, _, listed = capsys.readouterr().out.partition("Commands:\n")
    lines = listed.rstrip().splitlines()
    assert [line.split()[0] for line in lines] == list(COMMANDS[path].commands)
    for line in lines:
        assert line.endswith("."), line
        assert not line.endswith("..."), line


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_argument_and_option_is_explained(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli([*path, "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert "\b" not in shown
    for parameter in COMMANDS[path].params:
        assert parameter.help, parameter.name
        assert parameter.help.endswith("."), parameter.name
