"""Endpoints that name something the study will never measure are refused before it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from echochamber.analysis import BASE, NOT_A_FORMAT, Endpoint, Place, step_at_fraction
from echochamber.analysis.findings import Lacking
from echochamber.analysis.findings.evidence import ONE_SPACING
from echochamber.base import Document, InputError
from echochamber.evaluation import evaluation_steps
from echochamber.formats import format_names
from echochamber.study.references import IMPORTED, must_exist

if TYPE_CHECKING:
    from echochamber.study.config import StudyConfig

Key = tuple[str | int, ...]


def check_endpoints(study: StudyConfig, document: Document, points: Sequence[str]) -> None:
    """Every cell that an endpoint names must be one that the study measures.

    Args:
        points: labels of the sweep's points; one empty label without a sweep.

    Raises:
        InputError: with file, line and key, and what exists.
    """
    for i, endpoint in enumerate(study.endpoints):
        for prefix, place in endpoint.places:
            _check_names(study, document, endpoint, ("endpoints", i), prefix, place, points)
            _check_protocol(study, document, ("endpoints", i), prefix, place)
            _check_step(study, document, ("endpoints", i), prefix, place)


def _key(endpoint: Endpoint, start: Key, prefix: str, name: str) -> Key:
    """Where a key of a cell is stated: in its own mapping, or else in the endpoint."""
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
        why = f"samples are drawn at evaluation.temperature {settings.temperature:g}; name that, 0 or neither"
        _refuse(document, start, prefix, "temperature", f"{place.temperature:g}", why)
    greedy = place.temperature == 0.0 or settings.num_samples == 0
    num_samples = 1 if greedy else settings.num_samples
    if (place.k or 1) > num_samples:
        how = "greedily there is one" if greedy else f"evaluation.num_samples is {num_samples}"
        _refuse(document, start, prefix, "k", place.k, f"more than the samples per problem; {how}")


def _check_step(study: StudyConfig, document: Document, start: Key, prefix: str, place: Place) -> None:
    step, config = place.step, study.arms.get(place.arm or "")
    if step is None or step == "last" or config is None:
        return
    steps = evaluation_steps(config.total_steps, study.evaluation.num_points)
    listed = ", ".join(map(str, steps))
    if isinstance(step, int) and step not in steps:
        why = f"{place.arm} is not evaluated then; its evaluated steps are {listed}"
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
        return  # known only when the questions are drawn, or a matter of rounds
    reached = [step for step in steps[1:-1] if 1 / ONE_SPACING <= step * per_step / questions <= 1]
    if not reached:
        why = (
            f"one pass over the {questions} questions of {config.task} ends at step "
            f"{questions / per_step:.4g}, and "
            f"{place.arm} has no evaluated step near it and before its last; evaluated are "
            f"{', '.join(map(str, steps))}"
        )
        _refuse(document, start, prefix, "step", "first_pass", why)
