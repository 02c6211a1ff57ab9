"""Measuring a trained model of a study again: other problems, more samples, another temperature."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from echochamber import corpora, evaluation, rollout, verify
from echochamber.base import InputError, derive_seed, did_you_mean
from echochamber.study.exporting import find_model, load_trained
from echochamber.study.reading import import_modules
from echochamber.study.run import Study


def evaluate_model(
    study: Study,
    *,
    arm: str,
    size: str | None = None,
    mixture: str | None = None,
    seed: int | None = None,
    sweep: str | None = None,
    settings: Mapping[str, Any],
    out: Path | None = None,
) -> list[dict[str, Any]]:
    """Evaluate the final weights of one model; the run folder stays as it is.

    The random numbers are those of the study's own evaluation, so that the
    study's settings give the study's completions.

    Args:
        settings: fields of `EvaluationConfig` that differ from the study's.
        out: Parquet file for one row per completion; the first existing folder above it must be writable.

    Returns:
        Rows of pass@k, maj@k, format shares and accuracies, as in `summary.json`.

    Raises:
        InputError: no such model or problem set, settings that contradict each other, or prompts that
            leave no room for their completions.
    """
    item = find_model(study, arm=arm, size=size, mixture=mixture, seed=seed, sweep=sweep)
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
    problem_sets = next(stage for stage in study.plan.stages if stage.kind == "problems")
    for name in config.benchmarks:
        if name not in study.config.tasks:
            raise InputError(
                f"study '{study.name}' has no task '{name}': expected one of "
                f"{', '.join(study.config.tasks)}.{did_you_mean(name, study.config.tasks)}"
            )
    policy, tokenizer = load_trained(study, item)
    problems_folder = study.store.require(problem_sets)
    import_modules(study.config.modules)
    rules = study.config.verify
    tables = []
    with verify.Grader(
        tiers=rules.tiers, reward_stated=rules.reward_stated, unsafe_unconfined=rules.unsafe_unconfined
    ) as grader:
        for name in config.benchmarks:
            problems = corpora.read_problems(problems_folder / f"{name}.jsonl")
            if (settings.get("num_problems") or 0) > len(problems):
                raise InputError(
                    f"task '{name}' has {len(problems)} problems; set num-problems to at most {len(problems)}"
                )
            rollout.check_fit(
                tokenizer.encode_prompts([problem.question for problem in problems]),
                max_new_tokens=config.max_new_tokens,
                context_length=policy.config.context_length,
                what=f"task '{name}'",
            )
            table = evaluation.evaluate(
                rollout.make_engine(
                    study.config.engine, policy, eos_id=tokenizer.eos_id, pad_id=tokenizer.pad_id
                ),
                problems,
                tokenizer,
                grader,
                config,
                benchmark=name,
                step=0,
                seed=derive_seed(item.seed, "evaluate"),
            )
            tables.append(evaluation.with_cell(table, item.cell.on(name)))
    if out is not None:
        batches = (batch for table in tables for batch in table.to_batches())
        evaluation.write_completions(out, batches, evaluation.RECORD_SCHEMA)
    return [row for table in tables for row in evaluation.summarise(table, config)]
