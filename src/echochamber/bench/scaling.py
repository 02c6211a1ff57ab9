"""How the cost of a step grows: with the model, the group, the completion, and the number of problems."""

from __future__ import annotations

import json
import multiprocessing
import resource
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from echochamber.base import EchoError, no_progress, write_json
from echochamber.bench.measure import Machine, Row, Settings, alone, describe_machine, seconds_of
from echochamber.bench.pictures import draw_scaling
from echochamber.bench.rl_work import RLWork, SolutionGrader
from echochamber.bench.workload import with_mean_length
from echochamber.evaluation import EvaluationConfig, evaluate, write_completions
from echochamber.model import num_parameters

NO_PEER = "how our own cost grows; peers are compared at one size by the other benches"
SIZES = ("nano", "micro", "small", "150m")
SAMPLES = (8, 32, 128, 256)
LENGTHS = (32, 128, 512, 1024)
PROBLEMS = (250, 500, 1000)
EVALUATION_SAMPLES = 64
NUM_PROMPTS = 8


def bench_scaling(settings: Settings) -> dict[str, Any]:
    """Seconds of a GRPO step as one quantity grows, and seconds and memory of an evaluation.

    Each point is the median of `repeats` steps (one for the heaviest points), after one untimed step.
    `peak_mib` is
    the most memory the process of an evaluation ever held: it is started for that point alone. With a folder
    for pictures, `scaling.png` is drawn.
    """
    quick = settings.quick
    sizes = settings.sizes or (("pico",) if quick else SIZES)
    rows = [_step("model size", size, settings, size=size) for size in sizes]
    rows += [
        _step("samples per prompt", count, settings, num_samples=count)
        for count in (SAMPLES[:2] if quick else SAMPLES)
    ]
    rows += [
        _step("completion tokens", length, settings, length=length)
        for length in (LENGTHS[:2] if quick else LENGTHS)
    ]
    rows += [_evaluation(count, settings) for count in ((8, 16) if quick else PROBLEMS)]
    if settings.out is not None:
        draw_scaling(rows, settings.out / "scaling.png")
    return {"name": "scaling", **rows[0], "machine": describe_machine(settings.machine), "rows": rows}


def _step(
    axis: str, x: int | str, settings: Settings, *, size: str = "nano", num_samples: int = 8,
    length: int | None = None,
) -> Row:  # fmt: skip
    """Median seconds of a GRPO step of 8 prompts; with `length`, no completion ends earlier."""
    work = RLWork.make(num_graded=NUM_PROMPTS * num_samples, quick=settings.quick)
    work = replace(
        work, problems=work.problems[:NUM_PROMPTS], num_samples=num_samples,
        max_new_tokens=length or work.max_new_tokens,
    )  # fmt: skip
    model = work.model(size, settings.machine, context=1200 if length else None)
    if length is not None:
        with_mean_length(model, 1e9)
    lengths: list[list[list[int]]] = []
    seconds, parts = [], []
    heavy = size == "150m" or num_samples >= 128 or (length or 0) >= 512
    num_steps = 2 if heavy else settings.repeats + 1
    with (
        tempfile.TemporaryDirectory() as name,
        SolutionGrader(work.solutions) as grader,
        settings.show(f"scaling {axis} {x}", num_steps) as bar,
    ):
        learner = work.learner(model, grader, Path(name), lengths)
        for step in range(num_steps):
            learner.seconds = {}
            seconds.append(seconds_of(lambda s=step: learner.step(s), settings.machine))  # type: ignore[misc]
            parts.append(learner.seconds)
            bar.update(step + 1)
    row = alone(seconds[1:], why=NO_PEER)
    num_tokens = sum(map(sum, lengths[-1]))
    return {"case": f"{axis} {x}", "axis": axis, "x": x, "targets": [], **row, "stages": parts[-1],
            "tokens": num_tokens, "parameters": num_parameters(model.config)}  # fmt: skip


def _evaluation(num_problems: int, settings: Settings) -> Row:
    """One evaluation of that many problems x 64 samples, in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "result.json"
        arguments = (num_problems, str(settings.machine.device), settings.quick, str(out))
        child = multiprocessing.get_context("spawn").Process(target=_evaluate, args=arguments)
        with settings.show(f"scaling problems {num_problems}", 1) as bar:
            child.start()
            child.join()
            bar.update(1)
        if child.exitcode != 0:
            raise EchoError(
                f"the evaluation of {num_problems} problems ended with exit code {child.exitcode}"
            )
        found = json.loads(out.read_text())
    return {
        "case": f"problems {num_problems} x {found['num_samples']}",
        "axis": "problems",
        "x": num_problems,
        "targets": [],
        **alone([found["seconds"]], why=NO_PEER),
        "peak_mib": found["peak_mib"],
        "start_mib": found["start_mib"],
    }


def _peak_mib() -> float:
    """This process's peak memory; on Linux `getrusage` would include its parent's."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _evaluate(num_problems: int, device: str, quick: bool, out: str) -> None:
    machine = Machine.named(device)
    num_samples = 4 if quick else EVALUATION_SAMPLES
    work = RLWork.make(num_graded=4096, quick=quick, num_problems=num_problems)
    model = work.model("pico", machine)
    config = EvaluationConfig(
        benchmarks=("bench",), num_samples=num_samples, greedy=False, max_new_tokens=work.max_new_tokens
    )
    start_mib = _peak_mib()

    def evaluate_all() -> None:
        engine = work.engine(model)
        batches = evaluate(
            engine, work.problems, work.tokenizer, grader, config, benchmark="bench", step=0, seed=0,
            show=no_progress,
        )  # fmt: skip
        write_completions(Path(out).with_name("completions.parquet"), batches)

    with SolutionGrader(work.solutions) as grader:
        seconds = seconds_of(evaluate_all, machine)
    found = {"seconds": seconds, "peak_mib": _peak_mib(), "start_mib": start_mib, "num_samples": num_samples}
    write_json(Path(out), found)
