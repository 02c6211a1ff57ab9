"""Estimates what a study will cost before anything runs: tokens, FLOPs, minutes on this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from echochamber import model, rl
from echochamber.corpora import MixturePlan, plan_mixture
from echochamber.evaluation import Cell
from echochamber.rollout import rollout_bytes
from echochamber.study.config import StudyConfig
from echochamber.study.importing import describe_folder
from echochamber.study.reading import first_examples
from echochamber.study.run import Study
from echochamber.study.store import Stage
from echochamber.train import GIB, cpu_flops_per_second, pretraining_bytes, start_world

# Shares of the measured matrix-product rate that each kind of work reached on a 2-core CPU, by width:
# (pretraining, post-training with its sampling and evaluation). Small matrices use the cores less well.
_EFFICIENCY = ((64, 0.40, 0.10), (128, 0.60, 0.15), (256, 0.70, 0.25), (512, 0.80, 0.40))
# Characters per token of questions and solutions, measured on generated problems and GSM8K.
_CHARACTERS_PER_TOKEN = 4.0
# Number of problems assumed for a training set that has not been read: GSM8K's.
_USUAL_PROBLEMS = 7473
# Tokens of a prompt and a solution assumed if no source can be read without a connection: about GSM8K's.
_USUAL_TOKENS = (70.0, 160.0)
# An H100's dense bfloat16 peak, and the shares of it that work is assumed (not measured) to reach:
# pretraining, and post-training with its sampling, which is limited by memory bandwidth.
_GPU_FLOPS_PER_SECOND, _GPU_EFFICIENCY = 989e12, (0.40, 0.10)


@dataclass(frozen=True)
class Estimate:
    """Tables of a dry run; each is a list of rows with equal keys."""

    mixtures: list[dict[str, Any]]
    models: list[dict[str, Any]]
    stages: list[dict[str, Any]]
    notes: list[str]


def _efficiency(width: int) -> tuple[float, float]:
    for limit, pretrain, post_train in _EFFICIENCY:
        if width <= limit:
            return pretrain, post_train
    return _EFFICIENCY[-1][1:]


class _Costs:
    """Arithmetic of one study config."""

    def __init__(self, study: Study, config: StudyConfig) -> None:
        self.config = config
        examples = [
            example
            for group in first_examples(study.config, 200, local_only=True).values()
            for example in group
        ]
        solved = [example for example in examples if example.question is not None]
        self.prompt_tokens, self.solution_tokens = _USUAL_TOKENS
        if solved:
            per_token = len(solved) * _CHARACTERS_PER_TOKEN
            self.prompt_tokens = sum(len(example.question or "") for example in solved) / per_token
            self.solution_tokens = sum(len(example.solution) for example in solved) / per_token
        if config.models:
            self.solution_tokens = min(self.solution_tokens, float(config.evaluation.max_new_tokens))
        self.models = {
            name: describe_folder(starting.path) for name, starting in config.models.items()
        } or self._trained()

    def _trained(self) -> dict[str, model.Description]:
        choice, _ = self.config.trained
        vocabulary, context = self.config.tokenizer.vocab_size, choice.context_length
        return {
            size: model.describe_config(
                model.size_config(size, vocab_size=vocabulary, context_length=context)
            )
            for size in choice.sizes
        }

    @property
    def context(self) -> float:
        """Tokens of a training sequence."""
        if self.config.pretrain is not None:
            return self.config.pretrain.sequence_length
        return self.prompt_tokens + self.solution_tokens

    def train_flops(self, size: str, tokens: float) -> float:
        return tokens * self.models[size].flops_per_token(self.context)

    def sample_flops(self, size: str, prompts: float, samples: float) -> tuple[float, float]:
        """Tokens and FLOPs of sampling: each prompt once, and the tokens of each sample."""
        tokens = prompts * (self.prompt_tokens + samples * self.solution_tokens)
        return tokens, self.train_flops(size, tokens) / 3

    def evaluation(self, size: str, points: int) -> tuple[float, float]:
        settings = self.config.evaluation
        problems = sum(self.config.tasks[name].num_problems or 1319 for name in settings.benchmarks)
        if settings.num_problems is not None:
            problems = min(problems, settings.num_problems * len(settings.benchmarks))
        return self.sample_flops(size, problems * points, settings.num_samples + int(settings.greedy))

    def arm(self, size: str, config: rl.RLConfig) -> tuple[float, float]:
        """Tokens and FLOPs of one arm with its evaluations."""
        task = self.config.tasks.get(config.task)
        work = config.workload((task and task.num_problems) or _USUAL_PROBLEMS)
        sampled, sample_flops = self.sample_flops(size, work.prompts, work.samples_per_prompt)
        trained = work.trained * (self.prompt_tokens + self.solution_tokens)
        measured, measure_flops = self.evaluation(
            size, min(self.config.evaluation.num_points, config.total_steps)
        )
        return sampled + trained + measured, sample_flops + self.train_flops(size, trained) + measure_flops

    def stage(self, kind: str, cell: Cell, mixture_tokens: int | None) -> tuple[float, float] | None:
        """Tokens and FLOPs of a stage; None if they are known only after tokenizing."""
        if kind == "pretrain":
            tokens = _pretrain_tokens(self.config, mixture_tokens)
            return None if tokens is None else (tokens, self.train_flops(cell.size, tokens))
        arm = self.config.arms.get(cell.arm)
        return self.evaluation(cell.size, 1) if arm is None else self.arm(cell.size, arm)


def estimate(study: Study) -> Estimate:
    """Tokens, FLOPs and minutes of every stage, from arithmetic and this machine's measured rate.

    Raises:
        InputError: a mixture or source cannot be planned.
    """
    rate = cpu_flops_per_second()
    mixtures: list[dict[str, Any]] = []
    models: dict[str, dict[str, Any]] = {}
    costs: dict[str, tuple[float, float, float]] = {}
    memory: dict[str, float] = {}
    tokens_by_mixture: dict[str, int | None] = {}
    for _, config in study.variants:
        arithmetic = _Costs(study, config)
        for name, mixture in config.mixtures.items():
            plan = plan_mixture(mixture, config.sources)
            tokens_by_mixture[name] = plan.tokens
            # Points of a sweep that share a mixture share its rows.
            mixtures += [row for row in _mixture_rows(name, plan) if row not in mixtures]
        for size, shape in arithmetic.models.items():
            models[size] = {
                "size": size,
                "parameters": shape.num_parameters,
                "d_model": shape.d_model,
                "layers": shape.num_layers,
                "training FLOPs per token": shape.flops_per_token(arithmetic.context),
            }
        for item in study.plan.measured:
            cell, stage = item.cell, item.stage
            if stage.kind == "import" or cell.size not in arithmetic.models:
                continue
            shape = arithmetic.models[cell.size]
            memory[stage.key] = peak_gpu_bytes(config, shape.shape, stage.kind, cell.arm)
            work = arithmetic.stage(stage.kind, cell, tokens_by_mixture.get(cell.mixture))
            if work is not None:
                tokens, flops = work
                reached = _efficiency(shape.d_model)[stage.kind != "pretrain"]
                costs[stage.key] = (tokens, flops, flops / (rate * reached))
    rows = [_row(study, stage, costs.get(stage.key), memory.get(stage.key)) for stage in study.plan.stages]
    return Estimate(mixtures, list(models.values()), rows, _notes(rows, rate, tokens_by_mixture))


def _mixture_rows(name: str, plan: MixturePlan) -> list[dict[str, Any]]:
    return [
        {
            "mixture": name,
            "source": source.name,
            "kind": source.kind,
            "tokens": source.tokens,
            "share": source.share,
            "passes": source.passes,
            "": "estimated" if source.estimated else "",
        }
        for source in plan.sources
    ]


def _notes(
    rows: Sequence[Mapping[str, Any]], rate: float, tokens_by_mixture: Mapping[str, int | None]
) -> list[str]:
    """Notes on how much work is left, and on mixtures that differ in compute."""
    left = sum(row["minutes"] or 0.0 for row in rows if row["state"] != "done")
    gpu_hours = sum(row["H100 hours"] or 0.0 for row in rows if row["state"] != "done")
    notes = [
        f"about {left:.1f} minutes left on this machine, at a measured {rate / 1e9:.0f} GFLOP/s; "
        "the number of sampled tokens is estimated from the length of solutions",
        f"about {gpu_hours:,.1f} H100 hours left, if pretraining reaches {_GPU_EFFICIENCY[0]:.0%} and "
        f"post-training {_GPU_EFFICIENCY[1]:.0%} of its bfloat16 peak (assumed, not measured)",
    ]
    if len(set(tokens_by_mixture.values())) > 1:
        shown = ", ".join(
            f"{name} {'unknown' if tokens is None else format(tokens, ',')}"
            for name, tokens in tokens_by_mixture.items()
        )
        notes.append(
            f"warning: the mixtures differ in training tokens ({shown}), so they differ in compute too"
        )
    return notes


def _pretrain_tokens(config: StudyConfig, mixture_tokens: int | None) -> float | None:
    """Tokens that one pretraining run reads; None if that is known only after tokenizing."""
    _, pretrain = config.trained
    if pretrain.steps is not None:
        return float(pretrain.steps * pretrain.batch_size * pretrain.sequence_length)
    return None if mixture_tokens is None else float(mixture_tokens)


def _gpu_rate(stage: Stage) -> float:
    return _GPU_FLOPS_PER_SECOND * _GPU_EFFICIENCY[stage.kind != "pretrain"]


def peak_gpu_bytes(config: StudyConfig, shape: model.ModelConfig, kind: str, arm: str) -> float:
    """Expected peak memory of one stage on one GPU of this job (docs/gpus.md explains the arithmetic)."""
    world = start_world()
    if kind == "pretrain":
        _, settings = config.trained
        rows = settings.microbatch_size or settings.batch_size // world.size
        sharded = world.size if settings.parallel.strategy == "fsdp" else 1
        parts = pretraining_bytes(
            shape,
            microbatch_tokens=rows * settings.sequence_length,
            checkpointing=settings.parallel.activation_checkpointing,
            sharded_over=sharded,
        )
    elif (chosen := config.arms.get(arm)) is not None:
        parts = chosen.gpu_bytes(shape, num_processes=world.size)
    else:
        weights = {"weights": 4.0 * model.num_parameters(shape)}
        parts = weights | rollout_bytes(shape, completions=4096, context=shape.context_length)
    return sum(parts.values())


def _row(
    study: Study, stage: Stage, cost: tuple[float, float, float] | None, gpu_bytes: float | None
) -> dict[str, Any]:
    tokens, flops, seconds = cost if cost is not None else (None, None, None)
    return {
        "stage": stage.title,
        "state": study.store.state(stage),
        "tokens": None if tokens is None else round(tokens),
        "FLOPs": flops,
        "minutes": None if seconds is None else seconds / 60,
        "H100 hours": None if flops is None else flops / _gpu_rate(stage) / 3600,
        "GPU GiB": None if gpu_bytes is None else gpu_bytes / GIB,
        "key": stage.key,
    }
