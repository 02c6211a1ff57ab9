"""Entry point `echochamber`: commands, exit codes, errors as sentences.

Rooms that need torch are imported inside the commands, so that `--help`
answers at once.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Annotated

import typer

from echochamber import __version__
from echochamber.base import EchoError, say, say_error
from echochamber.cli import (
    bench_command,
    config_commands,
    data_commands,
    findings_command,
    grade_command,
    model_commands,
    study_commands,
)

app = typer.Typer(
    name="echochamber",
    help="What does RL post-training do to behaviors that pretraining put there?\n\n"
    "Describe a study in one YAML file; echochamber trains the models from scratch, post-trains them, "
    "measures what moved and writes a report.\n\n"
    "\b\nTo begin, run a study, then open the report whose path it prints.\n"
    "  echochamber run studies/demo.yaml",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(value: bool) -> None:
    if value:
        say(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


study_commands.add_to(app)
findings_command.add_to(app)
model_commands.add_to(app)
grade_command.add_to(app)
data_commands.add_to(app)
config_commands.add_to(app)
bench_command.add_to(app)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 the user's input, 130 interrupted."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that cannot show a character shows its code.
        sys.stdout.reconfigure(errors="backslashreplace")
    status = run_cli(sys.argv[1:] if arguments is None else arguments)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        from echochamber.train import leave_world

        leave_world(status)
    sys.exit(status)


def _ends_first() -> bool:
    """Whether this process should say why it ends: in a torchrun job, the first one to end does."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return True
    from echochamber.train import ends_first

    return ends_first()


# The errors of a file system when nobody can use a path.
_REFUSALS = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
)


def run_cli(arguments: list[str]) -> int:
    """Run one command and return its exit code; `EchoError` becomes a sentence on stderr."""
    try:
        result = app(args=arguments, prog_name="echochamber", standalone_mode=False)
    except typer.Exit as stop:
        return stop.exit_code
    except EchoError as error:
        if _ends_first():
            say_error(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        if _ends_first():
            say_error("interrupted; run the same command again to continue")
        return 130
    except BrokenPipeError:
        return 1
    except typer.Abort:
        return 130
    except OSError as error:
        if error.errno not in _REFUSALS or error.filename is None:
            raise
        if _ends_first():
            reason = f"{error.strerror}. Check its type and permissions, or give another path"
            say_error(f"cannot use {error.filename}: {reason}")
        return 2
    except Exception as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            say(getattr(error, "ctx").get_help())  # noqa: B009 - of a class that may not exist
            return 0
        # Typer vendors or imports click, depending on its version; usage errors carry code and context.
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):
            context = getattr(error, "ctx", None)
            command = context.command_path if context is not None else "echochamber"
            say_error(f"{error.format_message()} (see {command} --help)")
            return int(error.exit_code)
        if not _ends_first():
            return 1
        raise
    return int(result) if isinstance(result, int) else 0
