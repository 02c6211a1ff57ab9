"""One GRPO step of rollout, reward and update: ours against TRL's trainer."""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from echochamber.bench.measure import (
    Settings,
    comparison,
    describe_machine,
    measure_rates,
    seconds_of,
    target,
)
from echochamber.bench.rl_work import NUM_PROMPTS, NUM_SAMPLES, RLWork, SolutionGrader
from echochamber.bench.trl_peer import grpo_trainer
from echochamber.bench.workload import sampling_flops, training_flops

HEADLINE = "nano"


def bench_rl_step(settings: Settings) -> dict[str, Any]:
    """Seconds of a GRPO step of 32 prompts x 8 samples of at most 80 tokens, one optimizer step.

    The floor is the arithmetic of sampling and of one forward and backward pass with each prompt read once
    per group, at the measured rate of a matrix product; it does not include grading.
    """
    sizes = settings.sizes or (("pico",) if settings.quick else (HEADLINE, "micro"))
    rows = [_compare(size, settings) for size in sizes]
    return {"name": "rl-step", **rows[0], "machine": describe_machine(settings.machine), "rows": rows}


class _Turns:
    """Runs our step before each step of the peer's own loop; the first pair is not counted."""

    def __init__(self, ours: Any, settings: Settings, bar: Any) -> None:
        self.ours, self.machine, self.bar = ours, settings.machine, bar
        self.our_seconds: list[float] = []
        self.peer_seconds: list[float] = []
        self.number, self.start = 0, 0.0

    def before(self) -> None:
        """Run our step, then start the peer's clock."""
        self.our_seconds.append(seconds_of(lambda: self.ours(self.number), self.machine))
        gc.collect()
        gc.disable()
        self.machine.synchronize()
        self.start = time.perf_counter()

    def after(self) -> None:
        """Stop the peer's clock."""
        self.machine.synchronize()
        self.peer_seconds.append(time.perf_counter() - self.start)
        gc.enable()
        self.number += 1
        self.bar.update(self.number, ours_seconds=self.our_seconds[-1], peer_seconds=self.peer_seconds[-1])


def _compare(size: str, settings: Settings) -> dict[str, Any]:
    # A pair at a size above the headline's takes half a minute on two cores.
    repeats = settings.repeats if size in ("pico", HEADLINE) else min(settings.repeats, 3)
    num_steps = repeats + 1
    work = RLWork.make(num_graded=NUM_PROMPTS * NUM_SAMPLES * num_steps, quick=settings.quick)
    model = work.model(size, settings.machine)
    rates = measure_rates(settings)
    parts: list[dict[str, float]] = []
    lengths: list[list[list[int]]] = []
    with (
        tempfile.TemporaryDirectory() as name,
        SolutionGrader(work.solutions) as our_grader,
        SolutionGrader(work.solutions) as peer_grader,
        settings.show(f"rl-step {size}", num_steps) as bar,
    ):
        learner = work.learner(model, our_grader, Path(name), lengths)

        def ours(step: int) -> None:
            learner.seconds = {}
            learner.step(step)
            parts.append(learner.seconds)

        turns = _Turns(ours, settings, bar)
        trainer, version = grpo_trainer(
            work, work.model(size, settings.machine), peer_grader, settings.machine, Path(name),
            num_steps=num_steps, on_step_begin=turns.before, on_step_end=turns.after,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            trainer.train()
    prompt_lengths = [len(ids) for ids in work.prompts()]
    flops = [
        sampling_flops(model.config, prompt_lengths, each)
        + training_flops(model.config, prompt_lengths, each)
        for each in lengths[1:]
    ]
    row = comparison(
        turns.our_seconds[1:],
        turns.peer_seconds[1:],
        peer="trl GRPOTrainer",
        version=version,
        floor_seconds=statistics.mean(flops) / rates.flops_per_second,
    )
    stages = {name: statistics.median(part[name] for part in parts[1:]) for name in parts[0]}
    num_completions = len(work.problems) * work.num_samples
    return {
        "size": size,
        "targets": [target(row["ratio"], "times TRL's speed", at_least=5.0)],
        "num_prompts": len(work.problems),
        "num_samples": work.num_samples,
        "mean_tokens": statistics.mean(sum(map(sum, each)) / num_completions for each in lengths[1:]),
        "peer_mean_tokens": trainer.state.log_history[-1]["completions/mean_length"],
        **row,
        "stages": stages,
        "gigaflops_per_second": rates.flops_per_second / 1e9,
    }
