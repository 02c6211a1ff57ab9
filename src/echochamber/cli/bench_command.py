"""`bench`: measured comparisons with peers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from echochamber.bench import Settings

ALL = "all"

NAME = typer.Argument(
    metavar="NAME",
    help="pretrain, rollout, rl-step, verify, evaluation, startup, busy or study; all of these: all. "
    "Our own cost in detail: profile, scaling. Error rates of intervals and rulings: calibration.",
    show_default=False,
)
JSON = typer.Option("--json", metavar="FILE", help="Write the result as one JSON object.")
DEVICE = typer.Option(
    metavar="DEVICE", help="cpu, cuda, cuda:1; auto uses a GPU if there is one, in bfloat16."
)
SIZES = typer.Option(
    metavar="SIZES", help="Model sizes, headline first, e.g. nano,micro; by default the bench's own."
)
REPEATS = typer.Option(
    min=2, metavar="N", help="Timed pairs, after an untimed one; pretrain runs three times as many."
)
STUDY = typer.Option(metavar="STUDY", help="Study file for the bench `study`.")
OUT = typer.Option(metavar="FOLDER", help="Folder for pictures, for benches that draw some.")
REPETITIONS = typer.Option(min=1, metavar="N", help="Simulated studies per row of calibration.")
SEED = typer.Option(metavar="SEED", help="Seed of the simulated studies of calibration.")
QUICK = typer.Option("--quick", help="Tiny work, to check that everything runs; the times are meaningless.")


def bench(
    name: Annotated[str, NAME],
    json_file: Annotated[Path | None, JSON] = None,
    device: Annotated[str, DEVICE] = "auto",
    sizes: Annotated[str | None, SIZES] = None,
    repeats: Annotated[int, REPEATS] = 5,
    study: Annotated[Path, STUDY] = Path("studies/demo.yaml"),
    out: Annotated[Path | None, OUT] = None,
    repetitions: Annotated[int, REPETITIONS] = 4000,
    seed: Annotated[int, SEED] = 0,
    quick: Annotated[bool, QUICK] = False,
) -> None:
    """Measure our speed against that of peers.

    Ours and the peer alternate in one process, with the same weights, prompts, sampling and threads. The
    table shows medians with their spread, the ratio peer / ours per pair, the fraction of the floor reached
    (the floor is the arithmetic of the work at this machine's rate of a large matrix product), and what was
    promised. On a busy machine trust the ratios, not the seconds.

    `calibration` has no peer and no clock: it measures how often intervals and rulings are wrong on
    simulated studies. The same seed gives the same numbers.

    The peers are an extra. Install them, or use `make bench` in a clone:

    \b
    pip install 'echochamber[bench]'
    echochamber bench rollout --sizes nano
    """
    from echochamber.bench import Machine, Settings

    settings = Settings(
        repeats=repeats,
        sizes=None if sizes is None else tuple(size.strip() for size in sizes.split(",")),
        quick=quick,
        machine=Machine.named(device),
        study=study,
        out=out,
        repetitions=repetitions,
        seed=seed,
    )
    _run(name, settings, json_file)


def _run(name: str, settings: Settings, json_file: Path | None) -> None:
    """Run one bench or all of them, rewriting the file after each, and print one table."""
    from echochamber.base import write_json
    from echochamber.bench import COMPARISONS, describe_machine, run_bench, table
    from echochamber.cli.terminal import print_rows

    names = COMPARISONS if name == ALL else (name,)
    results: dict[str, Any] = {}
    for each in names:
        results[each] = run_bench(each, settings)
        whole = results[each] if name != ALL else {
            "name": ALL, "machine": describe_machine(settings.machine), "benches": results
        }  # fmt: skip
        if json_file is not None:
            write_json(json_file, whole)
    print_rows(
        [line for result in results.values() for line in table(result)],
        title=" | ".join(str(value) for value in describe_machine(settings.machine).values()),
    )


def add_to(app: typer.Typer) -> None:
    """Register the commands of this file."""
    app.command()(bench)
