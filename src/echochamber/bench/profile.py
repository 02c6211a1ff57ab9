"""Where a step's time goes, operator by operator, summed by kind."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch.profiler import ProfilerActivity, profile

from echochamber.bench.measure import Row, Settings, alone, describe_machine, measure_rates, timed
from echochamber.bench.pictures import draw_profile
from echochamber.bench.pretrain import pretraining_step, step_flops
from echochamber.bench.rl_work import NUM_PROMPTS, NUM_SAMPLES, RLWork, SolutionGrader
from echochamber.bench.workload import sampling_flops, training_flops

NO_PEER = "where our own time goes"
# The first kind whose fragment occurs in an operator's name gets its time; the rest is `other`.
KINDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("attention", ("scaled_dot_product", "attention", "bmm", "baddbmm")),
    ("matrix products", ("::mm", "addmm", "linear_pointwise", "::linear", "mkldnn")),
    ("softmax, loss and sampling", ("softmax", "logsumexp", "::exp", "::log", "amax", "cumsum", "scatter",
                                    "searchsorted", "gather", "LinearCrossEntropy", "Logprobs")),
    ("optimizer and clipping", ("adam", "vector_norm", "Optimizer", "foreach")),
    ("norm and activation", ("layer_norm", "silu", "SwiGLU")),
    ("moving data", ("index", "copy", "::cat", "clone", "fill", "zero", "empty", "select", "slice", "view",
                     "as_strided", "transpose", "reshape", "contiguous", "unbind", "chunk")),
    ("elementwise", ("::mul", "::add", "::sub", "::div", "::where", "::neg", "Rotary", "::sum")),
)  # fmt: skip


def bench_profile(settings: Settings) -> dict[str, Any]:
    """Seconds of a pretraining step, a rollout and an update, and the share of each kind of operator.

    Shares are of the time inside operators as PyTorch's profiler counts it on the CPU side; the seconds are
    taken without the profiler. With a folder for pictures, `profile.png` is drawn.
    """
    sizes = settings.sizes or (("pico",) if settings.quick else ("nano", "micro"))
    rows = [row for size in sizes for row in _of_size(size, settings)]
    if settings.out is not None:
        draw_profile(rows, [name for name, _ in KINDS] + ["other"], settings.out / "profile.png")
    return {"name": "profile", **rows[0], "machine": describe_machine(settings.machine), "rows": rows}


def _of_size(size: str, settings: Settings) -> list[Row]:
    rate = measure_rates(settings).flops_per_second
    batch, length = (2, 16) if settings.quick else (8, 128)
    model, step = pretraining_step(size, batch, length, settings.machine)
    flops = step_flops(model.config, batch, length)
    rows = [_profiled(f"{size}: pretraining step {batch} x {length}", step, flops / rate, settings)]
    calls = settings.repeats + 2
    work = RLWork.make(num_graded=NUM_PROMPTS * NUM_SAMPLES * calls, quick=settings.quick)
    policy, lengths = work.model(size, settings.machine), list[list[list[int]]]()
    prompt_lengths = [len(ids) for ids in work.prompts()]
    with tempfile.TemporaryDirectory() as name, SolutionGrader(work.solutions) as grader:
        learner = work.learner(policy, grader, Path(name), lengths)
        rollouts = learner.rollout(0)
        update_floor = training_flops(policy.config, prompt_lengths, lengths[0]) / rate

        def update(repeat: int) -> None:
            batch = learner.prepare(rollouts, rollouts)
            batch.advantage_BT = learner.advantages(batch)
            learner.update_all(0, batch, learner.plan(0, batch))

        def sample(repeat: int) -> None:
            learner.context.engine.generate(
                work.prompts(), work.config().sampling, num_samples=work.num_samples, seed=0, step=repeat
            )

        rollout_floor = sampling_flops(policy.config, prompt_lengths, lengths[0]) / rate
        shape = f"{len(work.problems)} x {work.num_samples}"
        rows.append(_profiled(f"{size}: rollout {shape}", sample, rollout_floor, settings))
        rows.append(_profiled(f"{size}: update on {shape}", update, update_floor, settings))
    return rows


def _profiled(case: str, work: Callable[[int], object], floor: float, settings: Settings) -> Row:
    seconds = timed(work, settings, f"profile {case}")
    with profile(activities=[ProfilerActivity.CPU]) as trace:
        work(0)
    spent: dict[str, float] = defaultdict(float)
    for event in trace.key_averages():
        spent[kind_of(event.key)] += event.self_cpu_time_total
    total = sum(spent.values())
    row = alone(seconds, why=NO_PEER, floor_seconds=floor)
    return {"case": case, "targets": [], **row, "parts": {kind: t / total for kind, t in spent.items()}}


def kind_of(operator: str) -> str:
    """The kind of work that an operator of the profiler's table belongs to."""
    for kind, fragments in KINDS:
        if any(fragment in operator for fragment in fragments):
            return kind
    return "other"
