"""The loop that every algorithm runs in: resume, step, record, evaluate, warn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from echochamber.base import Problem, digest, warn
from echochamber.base import progress as default_progress
from echochamber.corpora import NOTHING_RESERVED, Reserved, Tokenizer
from echochamber.model import Policy
from echochamber.rl.alarms import alarms_of, confirmed
from echochamber.rl.config import RLConfig
from echochamber.rl.learner import Context, Learner
from echochamber.rollout import AUTO, Engine, make_engine
from echochamber.train import TrainingRun, start_world
from echochamber.verify import Grader

ALARMS = "alarms.jsonl"


@dataclass(frozen=True)
class PostTrainResult:
    """The result of a finished training run.

    Attributes:
        model: folder of the final weights.
        steps: steps taken, over all restarts.
        samples_seen: completions sampled for training.
        alarms: sentences raised in this process.
    """

    model: Path
    steps: int
    samples_seen: int
    alarms: tuple[str, ...]


def post_train(
    config: RLConfig,
    *,
    policy: Policy,
    tokenizer: Tokenizer,
    problems: Sequence[Problem],
    grader: Grader,
    folder: Path,
    seed: int,
    evaluation_steps: Sequence[int],
    on_step: Callable[[int, Policy], None],
    reserved: Reserved = NOTHING_RESERVED,
    engine: Engine | None = None,
    show: Callable[..., Any] = default_progress,
) -> PostTrainResult:
    """Post-train `policy` in place; every algorithm runs in this loop.

    Writes `metrics.jsonl` (one row per step), `alarms.jsonl`, `timing.jsonl`,
    `checkpoints/` and finally `model/` into `folder`. The same call in the same
    folder continues from the last checkpoint and ends with the same bytes.

    Args:
        policy: the weights to start from, even when resuming, because they are the reference. Under torchrun
            they are equal in every process, and each process trains a copy on its part of every batch.
        evaluation_steps: `on_step(step, policy)` is called at these steps, 0 included. After a run was
            killed, it may be called again for a step; it must write the same files, durably, before it
            returns.
        reserved: identities that no training document may have.
        engine: samples completions; if None, the engine that suits the model.
        show: reports progress, `show(label, total)`.

    Raises:
        InputError: the config does not fit the task, the model or the number of processes.
        NonFiniteError: a loss or gradient was not finite; the last good checkpoint is named and kept.
        Interrupted: the run was asked to stop; the finished step is on disk.
    """
    if engine is None:
        engine = make_engine(AUTO, policy, tokenizer)
    world = start_world()
    context = Context(
        policy=policy, tokenizer=tokenizer, problems=problems, grader=grader, engine=engine,
        folder=folder, seed=seed, reserved=reserved, world=world, precision=config.precision,
    )  # fmt: skip
    config.check(context)
    for name, size in config.shared_batches().items():
        world.rows(size, name)
    learner = config.learner(context)
    learner.extras["alarm_streaks"] = {}
    run, wanted, raised = _run(config, context, learner), set(evaluation_steps), list[str]()
    with run, show(config.algorithm, config.total_steps) as bar:
        learner.extras = run.extras
        if run.step == 0 and 0 in wanted:
            world.on_main(lambda: on_step(0, policy))
        for step in run.steps():
            raised += _one_step(run, learner, step, bar)
            if step + 1 in wanted:
                world.on_main(lambda done=step + 1: on_step(done, policy))  # type: ignore[misc]
                run.log_timing({"step": step + 1, "what": "evaluation"})
    world.on_main(lambda: policy.write(folder / "model"))
    return PostTrainResult(folder / "model", config.total_steps, run.extras["samples_seen"], tuple(raised))


def _run(config: RLConfig, context: Context, learner: Learner) -> TrainingRun:
    """The resumable training run of one arm; refused if its folder holds checkpoints of another arm."""
    problems = [(p.key, p.question, p.gold, p.rules) for p in context.problems]
    run = TrainingRun(
        context.folder,
        total_steps=config.total_steps,
        modules=learner.modules,
        optimizers=learner.optimizers,
        extras=learner.extras,
        fingerprints={
            "config": digest(config.model_dump(mode="json", exclude={"checkpoint_every"})),
            "seed": str(context.seed),
            "problems": digest(problems),
        },
        checkpoint_every=config.checkpoint_every,
        logs=(ALARMS,),
        world=context.world,
    )
    tokens = context.microbatch_tokens(config.microbatch_tokens)
    half = max(tokens // 2, 1)
    run.memory_advice = (
        f"set microbatch_tokens of this arm to {half} (now {tokens}; the result stays the same)"
    )
    return run


def _one_step(run: TrainingRun, learner: Learner, step: int, bar: Any) -> list[str]:
    learner.seconds, learner.batch_name = {}, ""
    try:
        row = learner.step(step)
    finally:
        run.batch = learner.batch_name
    run.log({"step": step + 1, **row})
    sentences = confirmed(run.extras["alarm_streaks"], alarms_of(row))
    for sentence in sentences:
        run.log({"step": step + 1, "alarm": sentence}, ALARMS)
        warn(f"step {step + 1}: {sentence}")
    run.log_timing({"step": step + 1, "what": "train", **learner.seconds})
    bar.update(step + 1, **{name: row[name] for name in ("reward", "correct", "loss") if name in row})
    return sentences
