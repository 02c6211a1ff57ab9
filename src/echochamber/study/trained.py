"""Trained models of a study: find, load, export and evaluate them, or ask them a question."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Required, TypedDict, Unpack

from pydantic import ValidationError

from echochamber import corpora, evaluation, model, rollout, verify
from echochamber.base import InputError, Problem, atomic_folder, derive_seed, did_you_mean
from echochamber.base.lazy import torch
from echochamber.study.plan import Measured
from echochamber.study.reading import import_modules
from echochamber.study.run import Study

DTYPES = ("float32", "bfloat16", "float16")
# Stages that leave a trained model; evaluations belong to the same cells.
_TRAINED = ("pretrain", "import", "arm")
# Valid as a gold answer under all rules; used where none is known, so that only the answers matter.
_ANY_GOLD = "0"
# At lower temperatures, logits divided by the temperature leave the range of float32.
_LOWEST_TEMPERATURE = 1e-6


class Wanted(TypedDict, total=False):
    """Which model of a study is meant: its arm and, where several models have it, its size, mixture, ..."""

    arm: Required[str]
    size: str | None
    mixture: str | None
    seed: int | None
    sweep: str | None


def find_models(study: Study, **wanted: Unpack[Wanted]) -> list[Measured]:
    """The trained models of a study that fit the description, in plan order; at least one.

    Raises:
        InputError: there is none.
    """
    trained = [item for item in study.plan.measured if item.stage.kind in _TRAINED]
    asked = {name: value for name, value in wanted.items() if value is not None}
    for name, value in asked.items():
        known = [
            value for value in dict.fromkeys(getattr(item.cell, name) for item in trained) if value != ""
        ]
        if value not in known:
            listed = f"expected one of {', '.join(map(str, known))}" if known else "it has no sweep"
            raise InputError(f"study '{study.name}' has no {name} '{value}': {listed}")
    # A model that all points of a sweep share has no label and belongs to each of them.
    found = [
        item for item in trained if all(getattr(item.cell, name) in (v, "") for name, v in asked.items())
    ]
    if not found:
        described = ", ".join(f"{name} {value}" for name, value in asked.items())
        raise InputError(f"study '{study.name}' has no model with all of {described}")
    return found


def find_model(study: Study, **wanted: Unpack[Wanted]) -> Measured:
    """The one trained model that fits the description.

    Raises:
        InputError: there is none, or several.
    """
    found = find_models(study, **wanted)
    if len(found) > 1:
        each = "; ".join(
            f"--size {i.cell.size} --mixture {i.cell.mixture} --seed {i.cell.seed}"
            + (f" --sweep {i.cell.sweep}" if i.cell.sweep else "")
            for i in found
        )
        raise InputError(
            f"study '{study.name}' has {len(found)} models of arm '{wanted['arm']}'; choose one: {each}"
        )
    return found[0]


def load_trained(study: Study, item: Measured) -> tuple[model.Policy, corpora.Tokenizer]:
    """The model of a finished stage with its tokenizer.

    Raises:
        InputError: it is not trained yet, or its files have changed since.
    """
    trained = study.store.require(item.stage)
    home = study.store.require(item.stage.inputs.get("tokenizer", item.stage))
    return model.load_policy(trained / "model"), corpora.Tokenizer.load(home / "tokenizer")


def export_model(
    study: Study, target: Path, *, dtype: str | None = None, **wanted: Unpack[Wanted]
) -> Measured:
    """Write the model that fits the description as a folder that `transformers` loads; returns its cell.

    Args:
        dtype: dtype of the written weights, one of `DTYPES`; as trained if None.

    Raises:
        InputError: none or several models fit, it is not trained yet, or the target already exists.
    """
    if dtype is not None and dtype not in DTYPES:
        raise InputError(f"unknown dtype '{dtype}': expected one of {', '.join(DTYPES)}")
    found = find_model(study, **wanted)
    with atomic_folder(target) as folder:
        policy, tokenizer = load_trained(study, found)
        if dtype is not None:
            policy = policy.to(getattr(torch, dtype))
        policy.export(folder, eos_id=tokenizer.eos_id, pad_id=tokenizer.pad_id)
        tokenizer.export(folder)
    return found


def evaluate_model(
    study: Study, *, settings: Mapping[str, Any], out: Path | None = None, **wanted: Unpack[Wanted]
) -> list[dict[str, Any]]:
    """Evaluate the final weights of one model; the run folder is not changed.

    The random numbers are those of the study's own evaluation, so that the
    study's settings give the study's completions.

    Args:
        settings: fields of `EvaluationConfig` that differ from the study's.
        out: Parquet file to write with one row per completion.

    Returns:
        Rows of pass@k, maj@k, format shares and accuracies, as in `summary.json`.

    Raises:
        InputError: there is no such model or problem set, settings contradict each other, or prompts leave
            no room for their completions.
    """
    item = find_model(study, **wanted)
    config = _evaluation_config(study, settings)
    policy, tokenizer = load_trained(study, item)
    problems_of = _problems_to_ask(study, config, policy, tokenizer, settings.get("num_problems"))
    engine = rollout.make_engine(study.config.engine, policy, tokenizer)
    tables = []
    with study.config.verify.grader() as grader:
        for name, problems in problems_of.items():
            batches = evaluation.evaluate(
                engine,
                problems,
                tokenizer,
                grader,
                config,
                benchmark=name,
                step=0,
                seed=derive_seed(item.seed, "evaluate"),
            )
            tables.append(evaluation.with_cell(evaluation.table_of(batches), item.cell.on(name)))
    if out is not None:
        rows = (batch for table in tables for batch in table.to_batches())
        evaluation.write_completions(out, rows, evaluation.RECORD_SCHEMA)
    return [row for table in tables for row in evaluation.summarize(table, config)]


def _evaluation_config(study: Study, settings: Mapping[str, Any]) -> evaluation.EvaluationConfig:
    """The study's evaluation with other settings; refuses contradictory settings and unknown tasks."""
    asked = {**study.config.evaluation.model_dump(), **settings}
    if "num_samples" in settings and "pass_at" not in settings:
        asked["pass_at"] = None
    try:
        config = evaluation.EvaluationConfig.model_validate(asked)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{where}: {message}" if where else message) from error
    for name in config.benchmarks:
        if name not in study.config.tasks:
            raise InputError(
                f"study '{study.name}' has no task '{name}': expected one of "
                f"{', '.join(study.config.tasks)}.{did_you_mean(name, study.config.tasks)}"
            )
    return config


def _problems_to_ask(
    study: Study,
    config: evaluation.EvaluationConfig,
    policy: model.Policy,
    tokenizer: corpora.Tokenizer,
    num_problems: int | None,
) -> dict[str, list[Problem]]:
    """All problems of each benchmark; refuses too few problems and prompts without room for an answer."""
    folder = study.store.require(next(stage for stage in study.plan.stages if stage.kind == "problems"))
    import_modules(study.config.modules)
    found = {}
    for name in config.benchmarks:
        problems = corpora.read_problems(folder / f"{name}.jsonl")
        if (num_problems or 0) > len(problems):
            raise InputError(
                f"task '{name}' has {len(problems)} problems; set num-problems to at most {len(problems)}"
            )
        rollout.check_fit(
            tokenizer.encode_prompts([problem.question for problem in problems]),
            max_new_tokens=config.max_new_tokens,
            context_length=policy.config.context_length,
            what=f"task '{name}'",
        )
        found[name] = problems
    return found


def sample_completions(
    study: Study,
    question: str,
    *,
    arm: str,
    num_samples: int,
    temperature: float,
    seed: int,
    gold: str | None = None,
    rules: str = "gsm8k",
) -> list[rollout.Completion]:
    """Graded completions of `question` by the first model of the study whose arm has that name.

    Args:
        gold: the correct answer, if known; without it, the verdict on whether an answer is right is
            meaningless.
        rules: the rules by which answers are compared with it.

    Raises:
        InputError: there is no such arm, it is not trained yet, the question leaves no room in the context,
            or the rules cannot read the gold answer.
    """
    problem = Problem("asked", question, _ANY_GOLD if gold is None else gold, rules=rules)
    verify.get_rules(rules).check_gold(problem.gold)
    if temperature != 0 and not (math.isfinite(temperature) and temperature >= _LOWEST_TEMPERATURE):
        raise InputError(
            f"temperature {temperature:g}: expected 0 (greedy) or at least {_LOWEST_TEMPERATURE:g}"
        )
    policy, tokenizer = load_trained(study, find_models(study, arm=arm)[0])
    engine = rollout.make_engine(study.config.engine, policy, tokenizer)
    sampling = rollout.Sampling(
        temperature=temperature, max_new_tokens=study.config.evaluation.max_new_tokens
    )
    with study.config.verify.grader() as grader:
        groups = rollout.sample([problem], engine, tokenizer, sampling, num_samples=num_samples, seed=seed)
        return rollout.grade(groups, tokenizer, grader)
