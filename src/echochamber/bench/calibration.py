"""Error rates of intervals and rulings, measured on simulated studies whose truth is known.

Every row counts how often something happens that should happen in a stated share of studies: equal arms are
called different, an interval holds the truth, a difference of the stated detectable size is found.
docs/statistics.md has the table and explains it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from echochamber.analysis.distributions import t_quantile
from echochamber.analysis.intervals import LEVEL, Bands, Ratio, ratio_bands, spread
from echochamber.analysis.paired_tests import compare
from echochamber.base import derive_seed
from echochamber.bench.finding_nulls import NULLS, NUM_SEEDS, false_positive_rate
from echochamber.bench.measure import Settings
from echochamber.bench.simulated import (
    NUM_SAMPLES,
    Array,
    Measurement,
    SimulatedDesign,
    bimodal,
    bimodal_truth,
    design_with,
)

CHUNK = 500

Hits = tuple[npt.NDArray[np.bool_], Array | None]
"""For each repetition, whether the event happened, and half the width of the interval if there is one."""


@dataclass(frozen=True)
class CalibrationRow:
    """One row of the table.

    Attributes:
        question: what is counted.
        case: the simulated studies in which it is counted.
        num_seeds: trainings per arm.
        measure: returns the outcomes of some repetitions.
        target: lowest and highest rate that keep the promise, in percent; None if nothing is promised.
    """

    question: str
    case: str
    num_seeds: int
    measure: Callable[[np.random.Generator, int], Hits]
    target: tuple[float, float] | None


FALSE_ALARM, FAMILY = "equal arms called different", "any of 6 pairs of 4 equal arms called different"
COVERED, FOUND = "interval holds the truth", "a difference of the stated detectable size is found"
OTHERWISE = "equal arms called different by other methods"
REPRODUCED = "a claim is called reproduced where it is just not true"
FOUND_AT_MEAN = "a difference of the average stated size is found"


def bench_calibration(settings: Settings) -> dict[str, Any]:
    """Measure every row on `settings.repetitions` simulated studies; the same seed gives the same numbers."""
    repetitions = 40 if settings.quick else settings.repetitions
    cells = list(all_rows())
    rows = []
    with settings.show("calibration", len(cells) + len(NULLS)) as progress:
        for cell in cells:
            rows.append(_measured(cell, repetitions, settings.seed))
            progress.update(len(rows))
        for name in NULLS:
            rng = np.random.default_rng(derive_seed(settings.seed, "finding under its null", len(rows)))
            rate = 100.0 * false_positive_rate(name, rng, 5 if settings.quick else repetitions)
            rows.append(
                _row(
                    "a claim is called reproduced where it is false", name, NUM_SEEDS, rate, None, (0.0, 6.5)
                )
            )
            progress.update(len(rows))
    return {"name": "calibration", "repetitions": repetitions, "seed": settings.seed, "cells": rows}


def _measured(cell: CalibrationRow, repetitions: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(
        derive_seed(seed, f"calibration: {cell.question}: {cell.case}", cell.num_seeds)
    )
    happened, widths = [], []
    for start in range(0, repetitions, CHUNK):
        hits, half = cell.measure(rng, min(CHUNK, repetitions - start))
        happened.append(hits)
        widths += [] if half is None else [half]
    rate = 100.0 * float(np.mean(np.concatenate(happened)))
    width = 100.0 * float(np.mean(np.concatenate(widths))) if widths else None
    return _row(cell.question, cell.case, cell.num_seeds, rate, width, cell.target)


def _row(
    question: str, case: str, num_seeds: int | None, rate: float, width: float | None,
    target: tuple[float, float] | None,
) -> dict[str, Any]:  # fmt: skip
    met = None if target is None else target[0] <= rate <= target[1]
    return {
        "question": question,
        "case": case,
        "seeds": num_seeds,
        "percent": rate,
        "half_width_points": width,
        "target": None if target is None else list(target),
        "met": met,
    }


def calibration_table(result: dict[str, Any]) -> list[dict[str, str]]:
    """The rows as text for a terminal or a page: one line per case, one column per number of seeds.

    `4.9 ±2.6` is a rate in percent and the mean half width of the intervals in points; `!` marks a rate
    outside the promised range.
    """
    seeds = sorted({row["seeds"] for row in result["cells"]}, key=lambda number: number or 0)
    lines: dict[tuple[str, str], dict[str, str]] = {}
    for row in result["cells"]:
        empty = {
            "counted, %": row["question"],
            "in": row["case"],
            **{_heading(number): "" for number in seeds},
        }
        line = lines.setdefault((row["question"], row["case"]), empty)
        width = "" if row["half_width_points"] is None else f" ±{row['half_width_points']:.1f}"
        missed = " !" if row["met"] is False else ""
        line[_heading(row["seeds"])] = f"{row['percent']:.1f}{width}{missed}"
    return list(lines.values())


def _heading(num_seeds: int | None) -> str:
    return "" if num_seeds is None else f"{num_seeds} seed{'s' if num_seeds > 1 else ''}"


def all_rows() -> Iterator[CalibrationRow]:
    """Every row, in the order of the table."""
    yield from _false_alarms()
    yield from _coverage()
    yield from _power()
    yield from _methods()


def _alarm_target(num_seeds: int) -> tuple[float, float] | None:
    return {3: (3.0, 7.5), 5: (3.5, 6.5), 10: (3.5, 6.5)}.get(num_seeds)


def _coverage_target(num_seeds: int) -> tuple[float, float] | None:
    return {3: (92.0, 97.0), 5: (93.0, 97.0), 10: (93.0, 97.0)}.get(num_seeds)


RUN_POINTS = (0.0, 1.4, 2.6, 5.4, 6.0)
RARE = (0.005, 0.01, 0.03)
# Numbers of problems and samples of other studies: greedy decoding, small sets, many samples.
OTHER_DESIGNS = ((200, 1), (50, 1), (40, 4), (30, 64))


def _pass_at_1(run_points: float) -> SimulatedDesign:
    return design_with(0.76, run_points, base=0.3)


def _share(share: float, relative: float) -> SimulatedDesign:
    return design_with(share, 100.0 * share * relative, ease=1.0, model=0.3)


def _other_designs() -> Iterator[tuple[SimulatedDesign, str]]:
    for num_problems, num_samples in OTHER_DESIGNS:
        design = replace(_pass_at_1(2.6), num_problems=num_problems, num_samples=num_samples)
        samples = "1 sample" if num_samples == 1 else f"{num_samples} samples"
        yield design, f"pass@1 76 %, run sd 2.6 points, {num_problems} problems, {samples}"


def _false_alarms() -> Iterator[CalibrationRow]:
    for run_points in RUN_POINTS:
        for num_seeds in (1, 2, 3, 5, 10):
            case = f"pass@1 76 %, run sd {run_points:g} points"
            draw = _two(_pass_at_1(run_points), num_seeds)
            yield CalibrationRow(
                FALSE_ALARM, case, num_seeds, _called_different(draw), _alarm_target(num_seeds)
            )
    for share in RARE:
        for relative in (0.0, 0.4):
            for num_seeds in (3, 5, 10):
                case = f"share {100 * share:g} %, run sd {100 * share * relative:.2g} points"
                draw = _two(_share(share, relative), num_seeds)
                yield CalibrationRow(
                    FALSE_ALARM, case, num_seeds, _called_different(draw), _alarm_target(num_seeds)
                )
    for chance in (0.5, 0.3):
        for num_seeds in (3, 5, 10):
            case = f"share 95 % with chance {chance:g}, else 2 %"
            draw = _bimodal(chance, num_seeds)
            yield CalibrationRow(
                FALSE_ALARM, case, num_seeds, _called_different(draw), _alarm_target(num_seeds)
            )
    for num_seeds in (3, 5, 10):
        case = "accuracy 60 % within a format of share 10 %, run sd 3 points"
        yield CalibrationRow(
            FALSE_ALARM, case, num_seeds, _ratios_differ(num_seeds), _alarm_target(num_seeds)
        )
    for design, case in _other_designs():
        for num_seeds in (3, 5, 10):
            draw = _two(design, num_seeds)
            yield CalibrationRow(
                FALSE_ALARM, case, num_seeds, _called_different(draw), _alarm_target(num_seeds)
            )
    for run_points in (0.0, 2.6, 6.0):
        for num_seeds in (3, 5, 10):
            case = f"pass@1 76 %, run sd {run_points:g} points, after Holm"
            yield CalibrationRow(
                FAMILY, case, num_seeds, _family(_pass_at_1(run_points), num_seeds), (0.0, 6.0)
            )


def _coverage() -> Iterator[CalibrationRow]:
    for seed_points in (0.2, 1.5, 4.6, 7.5):
        for num_seeds in (1, 2, 3, 5, 10):
            case = f"pass@1 76 %, run sd {seed_points:g} points"
            design = design_with(0.76, seed_points)
            yield CalibrationRow(
                COVERED, case, num_seeds, _covers(design, num_seeds), _coverage_target(num_seeds)
            )
    for share in (*RARE, 0.995):
        for relative in (0.0, 0.4, 0.8):
            for num_seeds in (3, 5, 10):
                rare = min(share, 1.0 - share)
                case = f"share {100 * share:g} %, run sd {100 * rare * relative:.2g} points"
                design = design_with(share, 100.0 * rare * relative, ease=1.0, model=0.3)
                yield CalibrationRow(
                    COVERED, case, num_seeds, _covers(design, num_seeds), _coverage_target(num_seeds)
                )
    for design, case in _other_designs():
        for num_seeds in (3, 5, 10):
            yield CalibrationRow(
                COVERED, case, num_seeds, _covers(design, num_seeds), _coverage_target(num_seeds)
            )
    for chance in (0.5, 0.3):
        for num_seeds in (3, 5, 10):
            case = f"share 95 % with chance {chance:g}, else 2 %"
            yield CalibrationRow(
                COVERED, case, num_seeds, _covers_bimodal(chance, num_seeds), _coverage_target(num_seeds)
            )


def _power() -> Iterator[CalibrationRow]:
    for average in (False, True):
        for run_points in (0.0, 1.4, 2.6, 5.4):
            for num_seeds in (1, 2, 3, 5, 10):
                if num_seeds == 1 and run_points:
                    continue  # with one seed the promise is about the same two runs on new problems
                case = f"pass@1 76 %, run sd {run_points:g} points"
                measure = _detected(_two(_pass_at_1(run_points), num_seeds), average=average)
                if not average:
                    yield CalibrationRow(FOUND, case, num_seeds, measure, (75.0, 85.0))
                elif num_seeds > 2:
                    yield CalibrationRow(FOUND_AT_MEAN, case, num_seeds, measure, None)


def _methods() -> Iterator[CalibrationRow]:
    """The same studies by other methods, to show what each one costs."""
    methods = {"t over seed means": _seed_means, "crossed bootstrap": _bootstrap}
    for run_points in (0.0, 2.6, 6.0):
        for num_seeds in (3, 5):
            for name, method in methods.items():
                case = f"pass@1 76 %, run sd {run_points:g} points, {name}"
                draw = _two(_pass_at_1(run_points), num_seeds)
                yield CalibrationRow(OTHERWISE, case, num_seeds, _by(method, draw), None)


Draw = Callable[[np.random.Generator, int], list[Measurement]]
Measure = Callable[[np.random.Generator, int], Hits]


def _two(design: SimulatedDesign, num_seeds: int) -> Draw:
    return lambda rng, repetitions: design.arms(rng, 2, num_seeds, repetitions)


def _bimodal(chance: float, num_seeds: int) -> Draw:
    return lambda rng, repetitions: bimodal(rng, 2, num_seeds, repetitions, chance=chance)


def _half(bands: Bands) -> Array:
    return (bands.high - bands.low) / 2.0


def _called_different(draw: Draw) -> Measure:
    def measure(rng: np.random.Generator, repetitions: int) -> Hits:
        first, second = draw(rng, repetitions)
        found = compare(Ratio.mean(first), Ratio.mean(second), crossed=True)
        return found.p_value < LEVEL, _half(found.difference)

    return measure


def _ratios_differ(num_seeds: int) -> Measure:
    """Accuracy within a rare format: the number of completions in it is drawn as well."""
    written_design = design_with(0.10, 3.0, ease=1.0, model=0.3)
    design = design_with(0.60, 3.0, base=0.2)

    def measure(rng: np.random.Generator, repetitions: int) -> Hits:
        ratios = []
        written = written_design.arms(rng, 2, num_seeds, repetitions)
        for counts, skill in zip(written, design.chances(rng, 2, num_seeds, repetitions), strict=True):
            completions = [c * NUM_SAMPLES for c in counts]
            correct = [
                rng.binomial(c.astype(np.int64), p).astype(float)
                for c, p in zip(completions, skill, strict=True)
            ]
            ratios.append(Ratio(correct, completions))
        found = compare(ratios[0], ratios[1], crossed=True)
        return found.p_value < LEVEL, _half(found.difference)

    return measure


def _family(design: SimulatedDesign, num_seeds: int) -> Measure:
    """Holm's method calls any pair different when the smallest of the six p-values is below 5 % / 6."""

    def measure(rng: np.random.Generator, repetitions: int) -> Hits:
        arms = [Ratio.mean(arm) for arm in design.arms(rng, 4, num_seeds, repetitions)]
        p_values = [
            compare(arms[i], arms[j], crossed=True).family_p_value for i in range(4) for j in range(i + 1, 4)
        ]
        return np.min(p_values, axis=0) < LEVEL / len(p_values), None

    return measure


def _holds(bands: Bands, truth: float) -> Hits:
    return (bands.low <= truth) & (truth <= bands.high), _half(bands)


def _covers(design: SimulatedDesign, num_seeds: int) -> Measure:
    def measure(rng: np.random.Generator, repetitions: int) -> Hits:
        (arm,) = design.arms(rng, 1, num_seeds, repetitions)
        return _holds(ratio_bands(Ratio.mean(arm), crossed=True), design.truth)

    return measure


def _covers_bimodal(chance: float, num_seeds: int) -> Measure:
    def measure(rng: np.random.Generator, repetitions: int) -> Hits:
        (arm,) = bimodal(rng, 1, num_seeds, repetitions, chance=chance)
        return _holds(ratio_bands(Ratio.mean(arm), crossed=True), bimodal_truth(chance))

    return measure


def _detected(draw: Draw, *, average: bool) -> Measure:
    """A second study whose arms differ by the amount the first one stated."""

    def measure(rng: np.random.Generator, repetitions: int) -> Hits:
        first, second = (Ratio.mean(arm) for arm in draw(rng, repetitions))
        stated = compare(first, second, crossed=True).minimum_detectable
        difference = np.full_like(stated, stated.mean()) if average else stated
        again, moved = draw(rng, repetitions)
        found = compare(Ratio.mean(again), Ratio.mean([m + difference for m in moved]), crossed=True)
        return found.p_value < LEVEL, stated

    return measure


def _by(method: Callable[[Array, np.random.Generator], Bands], draw: Draw) -> Measure:
    def measure(rng: np.random.Generator, repetitions: int) -> Hits:
        first, second = draw(rng, repetitions)
        bands = method(np.stack(second) - np.stack(first), rng)
        return (bands.low > 0.0) | (bands.high < 0.0), _half(bands)

    return measure


def _seed_means(difference_SPR: Array, rng: np.random.Generator) -> Bands:
    """A t interval over the means of the seeds, which ignores the problems."""
    num_seeds = len(difference_SPR)
    found = spread(list(difference_SPR.mean(axis=1, keepdims=True)), crossed=False)
    half = t_quantile(num_seeds - 1.0) * np.sqrt(found.variance)
    mean = difference_SPR.mean(axis=(0, 1))
    return Bands(mean, mean - half, mean + half)


def _bootstrap(difference_SPR: Array, rng: np.random.Generator, num_resamples: int = 500) -> Bands:
    """A percentile bootstrap that draws seeds and problems with replacement."""
    num_seeds, num_problems, _ = difference_SPR.shape
    seeds_BS = rng.multinomial(num_seeds, np.full(num_seeds, 1.0 / num_seeds), num_resamples)
    problems_BP = rng.multinomial(num_problems, np.full(num_problems, 1.0 / num_problems), num_resamples)
    resampled_BR = sum(seeds_BS[:, s, None] * (problems_BP @ difference_SPR[s]) for s in range(num_seeds)) / (
        num_seeds * num_problems
    )
    low, high = np.percentile(resampled_BR, [2.5, 97.5], axis=0)
    return Bands(difference_SPR.mean(axis=(0, 1)), low, high)
