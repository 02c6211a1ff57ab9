"""Pretrain a tiny model on three answer formats, post-train it with GRPO, and watch one format disappear.

Everything of a study in one file, to be read from top to bottom, made from the library's own parts. About a
minute on two idle CPU cores: python examples/grpo_from_scratch.py

A real study (`echochamber run`) adds what is left out here: checkpoints, controls, error bars, a report.

Shape suffixes: P prompts, G samples per prompt, B = P x G completions, b those of a microbatch, T tokens.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

from echochamber import corpora, model, rollout, train, verify
from echochamber.base import derive_seed
from echochamber.rl import group_advantages, objectives
from echochamber.rl.microbatches import Microbatch, token_outputs
from echochamber.rl.packing import Sample, plan_microbatches
from echochamber.train.next_token import document_mask, next_token_loss

SEED = 0
FORMATS = ("tinygsm", "llm_code", "boxed")  # a Python function, a tagged code block, prose with \boxed{}
PRETRAINING = train.OptimizerConfig(learning_rate=4e-3, warmup_steps=50)
BATCH_SIZE, SEQUENCE_LENGTH = 8, 128
POST_TRAINING = train.OptimizerConfig(learning_rate=6e-4, weight_decay=0.0, warmup_steps=5)
SAMPLING = rollout.Sampling(temperature=1.0, max_new_tokens=64)
NUM_PROMPTS, NUM_SAMPLES = 32, 8


def make_data(
    folder: Path, tokens: int
) -> tuple[corpora.Tokenizer, corpora.TokenData, dict[str, corpora.ProblemSet]]:
    """A mixture with as many tokens of each format, and problems that none of its documents asks."""
    sizes = {"test": 80, "train": 120}
    tasks = {name: corpora.WordProblemsTask(num_problems=size, largest=12) for name, size in sizes.items()}
    problems = corpora.reserve_problems(tasks, seed=SEED)
    reserved = corpora.Reserved.of(problems["test"], problems["train"])
    # A fifth of the solutions are wrong, so that there is something to learn from being right.
    sources = {name: corpora.WordProblemsSource(format=name, largest=12, wrong_share=0.2) for name in FORMATS}
    tokenizer = corpora.train_tokenizer(
        corpora.TokenizerConfig(vocab_size=512, sample_documents=2_000), sources, seed=SEED, reserved=reserved
    )
    mixture = corpora.ControlledMixture(tokens=tokens, shares=dict.fromkeys(FORMATS, 1 / len(FORMATS)))
    corpora.build_mixture(mixture, sources, tokenizer, folder, seed=SEED, reserved=reserved)
    return tokenizer, corpora.TokenData(folder), problems


def pretrain(policy: model.Transformer, data: corpora.TokenData, eos_id: int) -> None:
    """One pass over the mixture, predicting each next token of a document from the document so far."""
    optimizer = train.make_optimizer(policy, PRETRAINING)
    steps = data.steps(BATCH_SIZE, SEQUENCE_LENGTH)

    def loss(tokens_BT: torch.Tensor) -> train.LossSum:
        mask = document_mask(tokens_BT[:, :-1], eos_id)
        return next_token_loss(policy, tokens_BT, mask=mask)

    for step in range(steps):
        batch = data.batch(step, batch_size=BATCH_SIZE, sequence_length=SEQUENCE_LENGTH, seed=SEED)
        done = train.optimizer_step(
            policy, optimizer, PRETRAINING, [torch.from_numpy(batch)], loss,
            number=step, total=steps, normalizer=BATCH_SIZE * SEQUENCE_LENGTH,
        )  # fmt: skip
        if step % 100 == 0:
            print(f"pretraining step {step:4d} of {steps}: {done.loss:.3f} nats per token", flush=True)


def grpo(
    policy: model.Transformer,
    tokenizer: corpora.Tokenizer,
    problems: dict[str, corpora.ProblemSet],
    steps: int,
) -> list[dict[str, float]]:
    """Ask, grade, compare within each group, update; returns the shares of formats that were printed."""
    optimizer = train.make_optimizer(policy, POST_TRAINING)
    engine = rollout.make_engine(rollout.AUTO, policy, tokenizer)
    ask = partial(rollout.sample, engine=engine, tokenizer=tokenizer, sampling=SAMPLING)
    shown = []
    with verify.Grader() as grader:
        for step in range(steps + 1):
            engine.load_weights(policy, step)
            if step % 10 == 0 or step == steps:
                answers = ask(problems["test"], num_samples=4, seed=1)
                shown.append(measure(step, rollout.grade(answers, tokenizer, grader)))
            if step < steps:
                chosen = random.Random(step).sample(problems["train"], NUM_PROMPTS)
                answers = ask(chosen, num_samples=NUM_SAMPLES, seed=SEED, step=step)
                update(policy, optimizer, rollout.grade(answers, tokenizer, grader), step, steps)
    return shown


def update(
    policy: model.Transformer,
    optimizer: torch.optim.Optimizer,
    completions: Sequence[rollout.Completion],
    step: int,
    steps: int,
) -> None:
    """One step on the clipped objective; advantages compare a completion with the others of its group."""
    reward_PG = torch.tensor([c.verdict.reward for c in completions]).view(NUM_PROMPTS, NUM_SAMPLES)
    advantage_B = group_advantages(reward_PG).flatten()

    def loss(micro: Microbatch) -> train.LossSum:
        logp_bT = micro.to_grid(token_outputs(policy, micro, temperature=SAMPLING.temperature).logp_N)
        advantage_bT = advantage_B[micro.sample_b][:, None].expand_as(logp_bT)
        # The only update on this rollout: the policy that sampled is the policy itself, and the ratio is 1.
        log_ratio_bT = objectives.log_ratio(logp_bT, logp_bT.detach(), micro.mask_bT)
        surrogate = objectives.clipped_surrogate(log_ratio_bT, advantage_bT, micro.mask_bT)
        return objectives.policy_objective(surrogate, logp_bT, micro.mask_bT, aggregation="sequence_mean")

    microbatches = plan_microbatches(
        [c.prompt for c in completions[::NUM_SAMPLES]],
        [Sample(i // NUM_SAMPLES, c.sampled.token_ids.astype("int64")) for i, c in enumerate(completions)],
        range(len(completions)),
        budget_tokens=1024, device=torch.device("cpu"), width=policy.config.d_model,
    )  # fmt: skip
    train.optimizer_step(
        policy, optimizer, POST_TRAINING, microbatches, loss,
        number=step, total=steps, normalizer=len(completions),
    )  # fmt: skip


def measure(step: int, completions: Sequence[rollout.Completion]) -> dict[str, float]:
    """Print and return the share of each format, and how many answers are right."""
    share = {name: sum(c.verdict.format == name for c in completions) / len(completions) for name in FORMATS}
    right = sum(c.verdict.reward for c in completions) / len(completions)
    listed = "  ".join(f"{name} {part:4.0%}" for name, part in share.items())
    print(f"RL step {step:3d}: {right:4.0%} right   shares: {listed}", flush=True)
    return {**share, "right": right}


def main(tokens: int, steps: int) -> list[dict[str, float]]:
    """The whole study; returns what was printed during RL."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer, data, problems = make_data(Path(folder) / "mixture", tokens)
        size = model.size_config("pico", vocab_size=tokenizer.vocab_size, context_length=128)
        policy = model.build(size, seed=derive_seed(SEED, "init"))
        pretrain(policy, data, tokenizer.eos_id)
        return grpo(policy, tokenizer, problems, steps)


if __name__ == "__main__":
    main(tokens=int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000, steps=40)
