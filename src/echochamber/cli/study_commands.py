"""`run`, `status`, `report`, `forecast`, `sample`: everything about a study's run folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from echochamber.base import printable, say

STUDY = typer.Argument(metavar="STUDY", help="Study file (YAML), e.g. studies/demo.yaml.", show_default=False)
RUN = typer.Argument(metavar="RUN", help="Run folder, study name or study file.", show_default=False)
ARM = typer.Option(metavar="ARM", help="Arm whose final weights are used, or 'base'.")
SIZE = typer.Option(metavar="SIZE", help="Which model size, if the study has several.")
MIXTURE = typer.Option(metavar="MIXTURE", help="Which mixture, if the study has several.")
SEED = typer.Option(metavar="SEED", help="Which seed, if the study has several.")
SWEEP = typer.Option(metavar="LABEL", help="Which point of the sweep, e.g. kl_coefficient=0.01.")
SET = typer.Option(
    "--set", metavar="KEY=VALUE", help="Set a value of the study, e.g. --set seed=7. Repeatable."
)
MODULE = typer.Option(
    "--module", metavar="FILE", help="Python file with your own sections or claims. Repeatable."
)
RUNS = typer.Option("--runs", metavar="FOLDER", help="Folder that holds the run folders.")

DRY_RUN = typer.Option("--dry-run", help="Print the plan with its tokens, FLOPs and minutes, and stop.")
REPLACE = typer.Option(
    "--replace",
    help="Use a run folder that holds the results of other base models; their report is kept under earlier/.",
)
EXECUTOR = typer.Option(
    "--executor", metavar="NAME", help="Where stages run: local (this process), ray or slurm."
)
RAY_ADDRESS = typer.Option(
    "--ray-address", metavar="ADDRESS", help="Ray cluster, e.g. auto; by default a new one."
)
SLURM_CLUSTER = typer.Option(
    "--slurm-cluster",
    metavar="NAME",
    help="slurm, or local to try the jobs as processes of this machine.",
)
TRACK = typer.Option(
    "--track",
    metavar="NAME",
    help="Also send metrics to wandb, trackio, tensorboard or your own tracker. Repeatable.",
)
BENCHMARK = typer.Option(metavar="TASK", help="Task of the study; by default its benchmarks. Repeatable.")
NUM_PROBLEMS = typer.Option(min=1, metavar="N", help="Only the first N problems of each.")
TEMPERATURE = typer.Option(metavar="T", help="Temperature of the samples.")
MAX_NEW_TOKENS = typer.Option(min=1, metavar="N", help="Longest completion.")
K = typer.Option(metavar="K", help="k of pass@k and maj@k. Repeatable.")
OUT = typer.Option(metavar="FILE", help="Also write completions to a Parquet file.")


def run(
    study: Annotated[Path, STUDY],
    overrides: Annotated[list[str] | None, SET] = None,
    runs: Annotated[Path, RUNS] = Path("runs"),
    dry_run: Annotated[bool, DRY_RUN] = False,
    force: Annotated[bool, typer.Option("--force", help="Start over instead of continuing.")] = False,
    replace: Annotated[bool, REPLACE] = False,
    executor: Annotated[str, EXECUTOR] = "local",
    ray_address: Annotated[str | None, RAY_ADDRESS] = None,
    slurm_cluster: Annotated[str | None, SLURM_CLUSTER] = None,
    track: Annotated[list[str] | None, TRACK] = None,
) -> None:
    """Run a study: train, post-train, measure, report.

    After an interruption, the same command continues where the run stopped.

    \b
    echochamber run studies/demo.yaml --set seed=7
    """
    from echochamber.cli.terminal import print_rows
    from echochamber.study import ExecutorOptions, check_run, estimate, open_study, run_study
    from echochamber.train import start_world

    world = start_world()
    opened = open_study(study, overrides or [], runs)
    where = ExecutorOptions(executor, ray_address, slurm_cluster)
    if dry_run:
        check_run(opened, replace=replace, executor=where, track=track or ())
        if not world.is_main:
            return
        result = estimate(opened)
        print_rows(result.mixtures, title="Mixtures")
        print_rows(result.models, title="Models")
        print_rows(result.stages, title=f"Plan of {opened.name}")
        for line in result.notes:
            say(line)
        return
    rows = run_study(opened, force=force, replace=replace, executor=where, track=track or ())
    if world.is_main:
        print_rows(last_rows(rows), title="At the last step of each arm")


def last_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of `summary.json` at each arm's last step as a table, with greedy beside sampled results."""
    last: dict[bool, dict[tuple[Any, ...], dict[str, Any]]] = {False: {}, True: {}}
    for row in rows:
        cell = tuple(row[name] for name in ("arm", "size", "mixture", "seed", "benchmark"))
        if row["step"] >= last[row["greedy"]].get(cell, row)["step"]:
            last[row["greedy"]][cell] = row
    greedy = last[True]
    shown = last[False] or greedy
    formats = [name for row in shown.values() for name, share in row["share"].items() if share >= 0.01]
    many = {
        name
        for name in ("size", "mixture", "seed", "benchmark")
        if len({r[name] for r in shown.values()}) > 1
    }
    return [
        {
            "arm": row["arm"],
            **{name: row[name] for name in ("size", "mixture", "seed", "benchmark") if name in many},
            "step": row["step"],
            **({} if row["greedy"] else {f"pass@{k}": f"{value:.1%}" for k, value in row["pass_at"].items()}),
            **({"greedy": f"{greedy[cell]['pass_at']['1']:.1%}"} if cell in greedy else {}),
            **{f"maj@{k}": f"{value:.1%}" for k, value in row["maj_at"].items() if k != "1"},
            **{f"share of {name}": f"{row['share'][name]:.1%}" for name in dict.fromkeys(formats)},
        }
        for cell, row in shown.items()
    ]


def status(
    study: Annotated[Path, STUDY],
    overrides: Annotated[list[str] | None, SET] = None,
    runs: Annotated[Path, RUNS] = Path("runs"),
) -> None:
    """Show which stages of a study are done, waiting or failed.

    Each stage is shown with the time it took and with what has changed since it was made.
    """
    from echochamber.cli.terminal import print_rows
    from echochamber.study import open_study, status_rows

    opened = open_study(study, overrides or [], runs)
    print_rows(status_rows(opened), title=f"{opened.name} in {opened.folder}")


def report(
    run: Annotated[str, RUN],
    as_published: Annotated[
        bool, typer.Option("--as-published", help="Also score the run by the paper's released code.")
    ] = False,
    modules: Annotated[list[str] | None, MODULE] = None,
    runs: Annotated[Path, RUNS] = Path("runs"),
) -> None:
    """Redraw the report of a run from its results.

    The report consists of report.html and the folder figures/ in the run folder; nothing is trained or
    measured.
    """
    from echochamber.study import find_run, import_modules, redraw

    import_modules(modules or ())
    say(f"report: {redraw(find_run(run, runs), as_published=as_published)}")


def forecast(
    run: Annotated[str, RUN],
    beta: Annotated[
        list[float] | None,
        typer.Option(metavar="BETA", help="KL coefficient; 0 means the limit. Repeatable."),
    ] = None,
    runs: Annotated[Path, RUNS] = Path("runs"),
) -> None:
    """Forecast which format wins, from the base model alone.

    The shares after RL are computed from the samples of the base model's evaluation.
    """
    from echochamber.analysis import Run, select, trajectories
    from echochamber.analysis.forecast import forecast as forecasts
    from echochamber.cli.terminal import print_rows
    from echochamber.study import find_run

    for base in select(trajectories(Run(find_run(run, runs)))):
        if not base.is_base:
            continue
        rows = []
        for found in forecasts(base, tuple(beta or (0.0,))):
            share = found.share
            cells = zip(found.formats, share.estimate, share.low, share.high, strict=True)
            rows.append(
                {
                    "theory": found.theory if found.beta is None else f"{found.theory}, beta {found.beta:g}",
                    "winner": found.winner + (" (open)" if found.open else ""),
                    **{name: f"{middle:.2f} [{low:.2f}, {high:.2f}]" for name, middle, low, high in cells},
                }
            )
        print_rows(rows, title=f"Expected shares after RL: {base.size} on {base.mixture}, {base.benchmark}")


def evaluate(
    study: Annotated[Path, STUDY],
    arm: Annotated[str, ARM] = "base",
    benchmark: Annotated[list[str] | None, BENCHMARK] = None,
    num_problems: Annotated[int | None, NUM_PROBLEMS] = None,
    num_samples: Annotated[int | None, typer.Option(min=0, metavar="N", help="Samples per problem.")] = None,
    temperature: Annotated[float | None, TEMPERATURE] = None,
    top_p: Annotated[float | None, typer.Option(metavar="P", help="Probability mass to sample from.")] = None,
    max_new_tokens: Annotated[int | None, MAX_NEW_TOKENS] = None,
    k: Annotated[list[int] | None, K] = None,
    size: Annotated[str | None, SIZE] = None,
    mixture: Annotated[str | None, MIXTURE] = None,
    seed: Annotated[int | None, SEED] = None,
    sweep: Annotated[str | None, SWEEP] = None,
    out: Annotated[Path | None, OUT] = None,
    overrides: Annotated[list[str] | None, SET] = None,
    runs: Annotated[Path, RUNS] = Path("runs"),
) -> None:
    """Evaluate a trained model of a study again.

    Anything not given is as in the study's own evaluation; the run does not change.

    \b
    echochamber evaluate studies/demo.yaml --arm grpo --num-samples 32
    """
    from echochamber.cli.terminal import print_rows
    from echochamber.study import evaluate_model, open_study

    asked: dict[str, Any] = {
        "benchmarks": tuple(benchmark) if benchmark else None,
        "num_problems": num_problems,
        "num_samples": num_samples,
        "temperature": temperature,
        "top_p": top_p,
        "max_new_tokens": max_new_tokens,
        "pass_at": tuple(k) if k else None,
    }
    rows = evaluate_model(
        open_study(study, overrides or [], runs),
        arm=arm,
        size=size,
        mixture=mixture,
        seed=seed,
        sweep=sweep,
        settings={name: value for name, value in asked.items() if value is not None},
        out=out,
    )
    # Greedy decoding gives one completion, so its row has only k = 1.
    ks = sorted({n for row in rows for n in row["pass_at"]}, key=int)
    print_rows([_percentages(row, ks) for row in rows], title=f"{arm} of {study}")


def _percentages(row: Mapping[str, Any], ks: Sequence[str]) -> dict[str, str]:
    """A row of `summary.json` as the terminal shows it."""

    def shown(values: Mapping[str, float], k: str) -> str:
        return f"{values[k]:.1%}" if k in values else ""

    return {
        "benchmark": row["benchmark"],
        "protocol": "greedy" if row["greedy"] else f"T = {row['temperature']:g}",
        **{f"pass@{k}": shown(row["pass_at"], k) for k in ks},
        **{f"maj@{k}": shown(row["maj_at"], k) for k in ks if k != "1"},
        **{name: f"{share:.1%}" for name, share in row["share"].items()},
    }


def sample(
    study: Annotated[Path, STUDY],
    question: Annotated[
        str, typer.Argument(metavar="QUESTION", help="The question to ask.", show_default=False)
    ],
    arm: Annotated[str, ARM] = "base",
    num_samples: Annotated[int, typer.Option(min=1, metavar="N", help="Completions to draw.")] = 4,
    temperature: Annotated[float, typer.Option(min=0.0, metavar="T", help="0 is greedy.")] = 1.0,
    seed: Annotated[int, typer.Option(metavar="SEED", help="Seed of the sampling.")] = 0,
    gold: Annotated[
        str | None, typer.Option(metavar="ANSWER", help="The correct answer, to grade the completions.")
    ] = None,
    rules: Annotated[
        str, typer.Option(metavar="RULES", help="How answers are compared: gsm8k, math or aime.")
    ] = "gsm8k",
    overrides: Annotated[list[str] | None, SET] = None,
    runs: Annotated[Path, RUNS] = Path("runs"),
) -> None:
    """Ask a trained model a question of your own.

    Each completion is shown with its format and its answer; for a program, that is the value it returned.

    \b
    echochamber sample studies/demo.yaml "What is 3 plus 4?" --gold 7
    """
    from echochamber.study import open_study, sample_completions

    sampled = sample_completions(
        open_study(study, overrides or [], runs), question, arm=arm, num_samples=num_samples,
        temperature=temperature, seed=seed, gold=gold, rules=rules,
    )  # fmt: skip
    for item in sampled:
        answer, outcome = item.verdict.answer, item.verdict.outcome
        shown = f"no answer ({outcome})" if answer is None else f"answer {printable(answer, one_line=True)}"
        if answer is not None and gold is not None:
            shown += f" ({outcome})"
        say(f"--- {item.verdict.format}: {shown}\n{item.text}")
    if gold is not None:
        right = sum(item.verdict.outcome == "correct" for item in sampled)
        say(f"{right} of {len(sampled)} correct")


def add_to(app: typer.Typer) -> None:
    """Register the commands of this file."""
    for command in (run, status, report, evaluate, forecast, sample):
        app.command()(command)
