"""`bench`: measured comparisons with peers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

ALL = "all"


def bench(
    name: Annotated[
        str,
        typer.Argument(
            help="pretrain, rollout, rl-step, verify, evaluation, startup, busy, study; all of these: all. "
            "Our own cost in detail: profile, scaling. Error rates of intervals and verdicts: calibration.",
            show_default=False,
        ),
    ],
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the result as one JSON object.")
    ] = None,
    device: Annotated[
        str, typer.Option(help="cpu, cuda, cuda:1; auto takes a GPU if there is one and bfloat16 on it.")
    ] = "auto",
    sizes: Annotated[
        str | None,
        typer.Option(help="Model sizes, headline first, e.g. nano,micro. Default: the bench's own."),
    ] = None,
    repeats: Annotated[
        int,
        typer.Option(
            min=2, help="Timed pairs, after one that is not timed; `pretrain` makes three times as many."
        ),
    ] = 5,
    study: Annotated[Path, typer.Option(help="Study file that the bench `study` runs.")] = Path(
        "studies/demo.yaml"
    ),
    out: Annotated[
        Path | None, typer.Option(help="Folder for the pictures of the benches that draw some.")
    ] = None,
    repetitions: Annotated[
        int, typer.Option(min=1, help="Invented studies behind each row of `calibration`.")
    ] = 4000,
    seed: Annotated[int, typer.Option(help="Seed of the invented studies of `calibration`.")] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="Tiny work, to see that everything runs; its times mean nothing.")
    ] = False,
) -> None:
    """Measure echochamber beside its peers on the same work, and beside what this machine can do.

    Ours and the peer take turns in one process, with the same weights, prompts, sampling and threads. The
    table has medians with their spread, the ratio peer / ours of each pair, the share of the floor that is
    reached (the floor: the arithmetic of the work at this machine's rate of a large matrix product), and
    what was promised. On a busy machine trust the ratios, not the seconds.

    `calibration` has no peer and no clock: it measures how often intervals and verdicts are wrong on invented
    studies, the same numbers for the same seed.

    The peers are an extra:  pip install 'echochamber[bench]'   or, in a clone:  make bench
    """
    from echochamber.base import write_json
    from echochamber.bench import COMPARISONS, Machine, Settings, describe_machine, run_bench, table
    from echochamber.cli.terminal import print_rows

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
