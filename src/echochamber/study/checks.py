"""Checks that need the whole study file: names that do not exist, parts that do not fit together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from echochamber.analysis import NOT_A_FORMAT, Endpoint, Place, step_at_fraction
from echochamber.analysis.findings import Lacking
from echochamber.analysis.findings.evidence import ONE_SPACING
from echochamber.base import Document, InputError, did_you_mean
from echochamber.corpora import TokenizerConfig
from echochamber.evaluation import BASE, evaluation_steps
from echochamber.formats import format_names
from echochamber.study.config import IMPORTED, StudyConfig

Key = tuple[str | int, ...]
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"


def must_exist(
    document: Document, key: tuple[str | int, ...], name: str, known: Sequence[str], kind: str
) -> None:
    """Refuse a name that the study does not have.

    Raises:
        InputError: with file, line and key, the names that the study has, and what may have been meant.
    """
    if name not in known:
        listed = ", ".join(known) or "none"
        raise InputError(
            f"{document.place(key)}: {'.'.join(map(str, key))}: no {kind} is named '{name}'; "
            f"this study has {listed}.{did_you_mean(name, known)}"
        )


def check_halves(study: StudyConfig, document: Document) -> None:
    """Refuse a study that both trains base models and names models made elsewhere, or does neither."""
    training = ("sources", "mixtures", "model", "pretrain")
    if study.models:
        given = [key for key in training if getattr(study, key)]
        if study.tokenizer != TokenizerConfig():
            given.append("tokenizer")
        if given:
            raise InputError(
                f"{document.place((given[0],))}: {given[0]}: this study starts from models made elsewhere "
                "(models), which bring their tokenizer and are not pretrained; remove one of the two"
            )
    missing = [key for key in training if not getattr(study, key)]
    if not study.models and missing:
        raise InputError(
            f"{document.place(())}: {missing[0]}: missing; a study trains its base models from sources, "
            "mixtures, model and pretrain, or names models made elsewhere under models"
        )
    for name, starting in study.models.items():
        place = f"{document.place(('models', name))}: models.{name}"
        if not re.fullmatch(_NAME, name):
            raise InputError(f"{place}: expected a name of letters, digits, '.', '_' or '-'")
        if not starting.path.expanduser().is_dir():
            raise InputError(f"{place}.path: {starting.path}: there is no such folder")


def _check_start(study: StudyConfig, document: Document, label: str) -> None:
    """Refuse an arm that starts from an arm or a snapshot that the study does not have."""
    arm = study.arms[label]
    if arm.start_from is not None:
        others = [other for other in study.arms if other != label]
        must_exist(document, ("arms", label, "start_from"), arm.start_from, others, "other arm")
    if arm.start_step is None:
        return
    place = f"{document.place(('arms', label, 'start_step'))}: arms.{label}.start_step: {arm.start_step}"
    if arm.start_from is not None:
        raise InputError(f"{place}: the arm also starts from another one (start_from); remove one of the two")
    if study.pretrain is None:
        raise InputError(f"{place}: this study pretrains no model, so it has no earlier steps; remove it")
    if arm.start_step not in study.pretrain.snapshots:
        listed = ", ".join(map(str, study.pretrain.snapshots)) or "none"
        raise InputError(
            f"{place} is not kept during pretraining; pretrain.snapshots has {listed}: add it there"
        )


def check_references(study: StudyConfig, document: Document) -> None:
    """Refuse names of tasks, sources and arms that the file does not define."""
    tasks = list(study.tasks)
    for i, name in enumerate(study.evaluation.benchmarks):
        must_exist(document, ("evaluation", "benchmarks", i), name, tasks, "task")
    for label, arm in study.arms.items():
        if not re.fullmatch(_NAME, label) or label == "base":
            raise InputError(
                f"{document.place(('arms', label))}: arms.{label}: expected a name of letters, digits, "
                "'.', '_' or '-' other than 'base'"
            )
        if arm.task:
            must_exist(document, ("arms", label, "task"), arm.task, tasks, "task")
        if arm.task in study.evaluation.benchmarks:
            raise InputError(
                f"{document.place(('arms', label, 'task'))}: arms.{label}.task: '{arm.task}' is an "
                "evaluation set; post-training on it would measure memorization. Name another task"
            )
        _check_start(study, document, label)
    for label, mixture in study.mixtures.items():
        for source in mixture.source_names:
            key = ("mixtures", label, mixture.parts_key, source)
            must_exist(document, key, source, list(study.sources), "source")
    if len(set(study.seeds)) != len(study.seeds) or not study.seeds:
        raise InputError(
            f"{document.place(('seed',))}: seed: {study.seed}: expected one seed or a list of different ones"
        )
    if study.models:
        return
    choice, pretrain = study.trained
    if pretrain.sequence_length > choice.context_length:
        raise InputError(
            f"{document.place(('pretrain', 'sequence_length'))}: pretrain.sequence_length: "
            f"{pretrain.sequence_length} is longer than model.context_length "
            f"{choice.context_length}; lower the first or raise the second"
        )


def check_endpoints(study: StudyConfig, document: Document, points: Sequence[str]) -> None:
    """Refuse endpoints that name a cell which the study does not measure.

    Args:
        points: labels of the sweep's points; one empty label without a sweep.

    Raises:
        InputError: with file, line and key, and the names that exist.
    """
    for i, endpoint in enumerate(study.endpoints):
        for prefix, place in endpoint.places:
            _check_names(study, document, endpoint, ("endpoints", i), prefix, place, points)
            _check_protocol(study, document, ("endpoints", i), prefix, place)
            _check_step(study, document, ("endpoints", i), prefix, place)


def _key(endpoint: Endpoint, start: Key, prefix: str, name: str) -> Key:
    """Where a key of a cell is stated: in its own mapping, or otherwise in the endpoint."""
    mapping = {"against": endpoint.against, "minus": endpoint.minus}.get(prefix)
    if isinstance(mapping, str):
        return (*start, prefix) if name == "arm" else (*start, name)
    stated = isinstance(mapping, Place) and name in mapping.stated
    return (*start, prefix, name) if stated else (*start, name)


def _check_names(
    study: StudyConfig,
    document: Document,
    endpoint: Endpoint,
    start: Key,
    prefix: str,
    place: Place,
    points: Sequence[str],
) -> None:
    sizes = list(study.models) if study.models else list(study.model.sizes if study.model else ())
    known: dict[str, tuple[Sequence[str], str]] = {
        "arm": ([BASE, *study.arms], "arm"),
        "size": (sizes, "model" if study.models else "size"),
        "mixture": ([IMPORTED] if study.models else list(study.mixtures), "mixture"),
        "sweep": ([point for point in points if point], "point of the sweep"),
        "benchmark": (study.evaluation.benchmarks, "benchmark"),
        "format": ([*format_names(), *NOT_A_FORMAT], "format"),
    }
    for name, (values, kind) in known.items():
        value = getattr(place, name)
        if value is not None:
            must_exist(document, _key(endpoint, start, prefix, name), value, values, kind)


def _refuse(document: Document, start: Key, prefix: str, name: str, value: Any, why: str) -> None:
    key = (*start, prefix, name) if prefix else (*start, name)
    raise InputError(f"{document.place(key)}: {'.'.join(map(str, key))}: {value}: {why}")


def _check_protocol(study: StudyConfig, document: Document, start: Key, prefix: str, place: Place) -> None:
    settings = study.evaluation
    if place.temperature == 0.0 and not settings.greedy:
        _refuse(
            document, start, prefix, "temperature", 0, "nothing is decoded greedily; set evaluation.greedy"
        )
    if place.temperature and place.temperature != settings.temperature:
        why = f"samples are drawn at evaluation.temperature {settings.temperature:g}; give that, 0 or neither"
        _refuse(document, start, prefix, "temperature", f"{place.temperature:g}", why)
    greedy = place.temperature == 0.0 or settings.num_samples == 0
    num_samples = 1 if greedy else settings.num_samples
    if (place.k or 1) > num_samples:
        how = "greedy decoding gives one" if greedy else f"evaluation.num_samples is {num_samples}"
        _refuse(document, start, prefix, "k", place.k, f"more than the samples per problem; {how}")


def _check_step(study: StudyConfig, document: Document, start: Key, prefix: str, place: Place) -> None:
    step, config = place.step, study.arms.get(place.arm or "")
    if step is None or step == "last" or config is None:
        return
    steps = evaluation_steps(config.total_steps, study.evaluation.num_points)
    listed = ", ".join(map(str, steps))
    if isinstance(step, int) and step not in steps:
        why = f"{place.arm} is not evaluated at that step; its evaluated steps are {listed}"
        _refuse(document, start, prefix, "step", step, why)
    if isinstance(step, float) and isinstance(step_at_fraction(steps, step, str(place.arm)), Lacking):
        near = f"{step * config.total_steps:.3g}"
        why = f"{place.arm} is not evaluated near step {near}; its evaluated steps are {listed}"
        _refuse(document, start, prefix, "step", step, why)
    if step == "first_pass":
        _check_first_pass(study, document, start, prefix, place, steps)


def _check_first_pass(
    study: StudyConfig, document: Document, start: Key, prefix: str, place: Place, steps: Sequence[int]
) -> None:
    config = study.arms[str(place.arm)]
    per_step = config.questions_per_step
    if per_step == 0:
        _refuse(
            document,
            start,
            prefix,
            "step",
            "first_pass",
            f"{place.arm} samples no questions, so it has no passes",
        )
    questions = study.tasks[config.task].num_problems if config.task in study.tasks else None
    if questions is None or per_step is None:
        return  # known only once the questions are drawn, or asked in rounds
    reached = [step for step in steps[1:-1] if 1 / ONE_SPACING <= step * per_step / questions <= 1]
    if not reached:
        why = (
            f"one pass over the {questions} questions of {config.task} ends at step "
            f"{questions / per_step:.4g}, and {place.arm} has no evaluated step near it and before its last; "
            f"its evaluated steps are {', '.join(map(str, steps))}"
        )
        _refuse(document, start, prefix, "step", "first_pass", why)
