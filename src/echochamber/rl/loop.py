"""The loop of every algorithm: resume, step, record, measure, warn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from echochamber.base import InputError, Problem, digest, warn
from echochamber.base import progress as default_progress
from echochamber.corpora import NOTHING_RESERVED, Reserved, Tokenizer
from echochamber.model import Policy, save
from echochamber.rl.config import PolicyGradientConfig, RewardConfig, RLConfig
from echochamber.rl.dynamics import alarms_of, confirmed
from echochamber.rl.learner import Context, Learner
from echochamber.rollout import AUTO, Engine, make_engine
from echochamber.train import Run, silent, start_world
from echochamber.verify import Grader

ALARMS = "alarms.jsonl"


@dataclass(frozen=True)
class PostTrainResult:
    """What a finished run leaves.

    Attributes:
        model: folder of the final weights.
        steps: steps done, over all restarts.
        samples_seen: completions sampled for training.
        alarms: sentences raised in this process.
    """

    model: Path
    steps: int
    samples_seen: int
    alarms: tuple[str, ...]


def check_lengths(config: RLConfig, prompts: Sequence[Sequence[int]], context_length: int) -> None:
    """Refuse prompts that leave no room for a completion.

    Raises:
        InputError: the longest prompt and `max_new_tokens` exceed the context.
    """
    longest = max((len(ids) for ids in prompts), default=0)
    if longest + config.max_new_tokens > context_length:
        raise InputError(
            f"the longest prompt of task '{config.task}' has {longest} tokens; with max_new_tokens "
            f"{config.max_new_tokens} it exceeds the model's context of {context_length}. "
            f"Lower max_new_tokens to at most {max(context_length - longest, 0)} or use a longer context"
        )


def _check(config: RLConfig, context: Context) -> None:
    if not isinstance(config, RewardConfig):
        return
    if not context.problems:
        raise InputError(
            f"task '{config.task}' holds no problems; {config.algorithm} needs questions to sample from"
        )
    prompts = context.tokenizer.encode_prompts([problem.question for problem in context.problems])
    check_lengths(config, prompts, context.policy.config.context_length)
    blind = not getattr(context.engine, "records_nuclei", True)
    if isinstance(config, PolicyGradientConfig) and config.sampling.truncated and blind:
        raise InputError(
            f"top_p {config.top_p} and top_k {config.top_k}: this engine does not tell which tokens it left, "
            "so updates could not see the distribution that was sampled; set top_p: 1 and top_k: 0, or use "
            "the engine native"
        )
    if isinstance(config, PolicyGradientConfig) and config.prompts_per_step > len(context.problems):
        raise InputError(
            f"prompts_per_step {config.prompts_per_step} exceeds the {len(context.problems)} problems of "
            f"task '{config.task}'; lower it or make the task larger"
        )


def _memory_advice(config: RLConfig, context: Context) -> str:
    tokens = context.microbatch_tokens(config.microbatch_tokens)
    half = max(tokens // 2, 1)
    return f"set microbatch_tokens of this arm to {half} (now {tokens}; the result stays the same)"


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

    Writes `metrics.jsonl` (one row a step), `alarms.jsonl`, `timing.jsonl`,
    `checkpoints/` and finally `model/` into `folder`. The same call in the same
    folder goes on from the last checkpoint and ends with the same bytes.

    Args:
        policy: the weights to start from, also when resuming: they are the reference. Under torchrun they
            are equal in every process, and each trains a copy on its part of every batch.
        evaluation_steps: `on_step(step, policy)` is called after these many steps, 0 included. A run that
            was killed may call it again for a step; it must write the same, durably, before it returns.
        reserved: identities that no document trained on may have.
        engine: samples completions; the one that suits the model if None.
        show: reports progress, `show(label, total)`.

    Raises:
        InputError: the config does not fit the task, the model or the number of processes.
        NonFiniteError: a loss or gradient was not finite; the last good checkpoint is named and kept.
        Interrupted: the run was asked to stop; the finished step is on disk.
    """
    if engine is None:
        engine = make_engine(AUTO, policy, eos_id=tokenizer.eos_id, pad_id=tokenizer.pad_id)
    world = start_world()
    context = Context(
        policy=policy, tokenizer=tokenizer, problems=problems, grader=grader, engine=engine,
        folder=folder, seed=seed, reserved=reserved, world=world, precision=config.precision,
    )  # fmt: skip
    _check(config, context)
    for name, size in config.shared_batches().items():
        world.rows(size, name)
    learner = config.learner(context)
    learner.extras["alarm_streaks"] = {}
    raised: list[str] = []
    run = Run(
        folder,
        total_steps=config.total_steps,
        modules=learner.modules,
        optimizers=learner.optimizers,
        extras=learner.extras,
        fingerprints={
            "config": digest(config.model_dump(mode="json", exclude={"checkpoint_every"})),
            "seed": str(seed),
            "problems": digest([(p.key, p.question, p.gold, p.rules) for p in problems]),
        },
        checkpoint_every=config.checkpoint_every,
        logs=(ALARMS,),
        world=world,
    )
    run.memory_advice = _memory_advice(config, context)
    wanted = set(evaluation_steps)
    with run, show(config.algorithm, config.total_steps) if world.is_main else silent() as bar:
        learner.extras = run.extras
        if run.step == 0 and 0 in wanted:
            world.on_main(lambda: on_step(0, policy))
        for step in run.steps():
            raised += _one_step(run, learner, step, bar)
            if step + 1 in wanted:
                world.on_main(lambda done=step + 1: on_step(done, policy))  # type: ignore[misc]
                run.log_timing({"step": step + 1, "what": "evaluation"})
    world.on_main(lambda: save(policy, folder / "model"))
    return PostTrainResult(folder / "model", config.total_steps, run.extras["samples_seen"], tuple(raised))


def _one_step(run: Run, learner: Learner, step: int, bar: Any) -> list[str]:
    learner.seconds, learner.batch = {}, ""
    try:
        row = learner.step(step)
    finally:
        run.batch = learner.batch
    run.log({"step": step + 1, **row})
    sentences = confirmed(run.extras["alarm_streaks"], alarms_of(row))
    for sentence in sentences:
        run.log({"step": step + 1, "alarm": sentence}, ALARMS)
        warn(f"step {step + 1}: {sentence}")
    run.log_timing({"step": step + 1, "what": "train", **learner.seconds})
    bar.update(step + 1, **{name: row[name] for name in ("reward", "correct", "loss") if name in row})
    return sentences
