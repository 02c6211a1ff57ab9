"""The cost of a sample in an evaluation, compared with its cost in a training rollout."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from echochamber import __version__
from echochamber.base import no_progress
from echochamber.bench.measure import Settings, comparison, describe_machine, in_turns, measure_rates, target
from echochamber.bench.rl_work import NUM_PROMPTS, NUM_SAMPLES, RLWork, SolutionGrader
from echochamber.bench.workload import sampling_flops
from echochamber.evaluation import EvaluationConfig, evaluate, write_completions
from echochamber.rl.rollouts import collect

SAMPLES = 64


def bench_evaluation(settings: Settings) -> dict[str, Any]:
    """Seconds per sample with 64 samples per problem, written to Parquet, against a training rollout of 8.

    Both sample, decode and grade. The ratio is the rollout's seconds per sample over the evaluation's.
    """
    sizes = settings.sizes or (("pico",) if settings.quick else ("nano",))
    rows = [_compare(size, settings) for size in sizes]
    return {"name": "evaluation", **rows[0], "machine": describe_machine(settings.machine), "rows": rows}


def _compare(size: str, settings: Settings) -> dict[str, Any]:
    num_samples = 16 if settings.quick else SAMPLES
    calls = settings.repeats + 1
    work = RLWork.make(num_graded=NUM_PROMPTS * (num_samples + NUM_SAMPLES) * calls, quick=settings.quick)
    model = work.model(size, settings.machine)
    rates = measure_rates(settings)
    config = EvaluationConfig(
        benchmarks=("bench",),
        num_samples=num_samples,
        greedy=False,
        max_new_tokens=work.max_new_tokens,
        completions_per_batch=32 if settings.quick else 1024,
    )
    lengths: list[list[list[int]]] = []
    with tempfile.TemporaryDirectory() as name, SolutionGrader(work.solutions) as grader:
        learner = work.learner(model, grader, Path(name), lengths)
        engine = learner.context.engine

        def evaluation(repeat: int) -> None:
            batches = evaluate(
                engine, work.problems, work.tokenizer, grader, config, benchmark="bench", step=repeat,
                seed=repeat, show=no_progress,
            )  # fmt: skip
            write_completions(Path(name) / f"{repeat}.parquet", batches)

        def rollout(repeat: int) -> None:
            collect(learner, work.config(), work.problems, step=repeat)

        seconds = in_turns(evaluation, rollout, settings, f"evaluation {size}")
    ours = [s / num_samples / len(work.problems) for s in seconds[0]]
    peer = [s / work.num_samples / len(work.problems) for s in seconds[1]]
    prompt_lengths = [len(ids) for ids in work.prompts()]
    sampled = [each for each in lengths if len(each[0]) == num_samples]
    flops = sum(sampling_flops(model.config, prompt_lengths, each) for each in sampled) / len(sampled)
    floor = flops / rates.flops_per_second / num_samples / len(work.problems)
    row = comparison(
        ours, peer, peer=f"training rollout x {work.num_samples}", version=__version__, floor_seconds=floor
    )
    cost = 1 / row["ratio"]
    return {
        "size": size,
        "num_samples": num_samples,
        "targets": [target(cost, "times the cost of a training sample", at_most=1.2)],
        **row,
    }
