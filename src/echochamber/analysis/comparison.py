"""Arms against each other, what they cost, and the outcomes of the endpoints named before the run."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import ValidationError

from echochamber.analysis.endpoints import Endpoint
from echochamber.analysis.runs import Run
from echochamber.analysis.statistics import (
    LEVEL,
    About,
    Interval,
    PairedTest,
    Ratio,
    corrected,
    paired_test,
    ratio_bands,
    ratio_test,
)
from echochamber.analysis.trajectories import Trajectory, majority_per_problem
from echochamber.base import EchoError


@dataclass(frozen=True)
class ArmComparison:
    """pass@1 of one arm minus another, both at their last step, on the same problems and seeds.

    With one seed it compares two runs, which says nothing about the two algorithms: `about` is "runs".

    Attributes:
        first, second: names of the arms; the difference is first minus second.
        test: the paired comparison.
        adjusted_p: its p-value after Holm's correction for the number of pairs.
    """

    first: str
    second: str
    test: PairedTest
    adjusted_p: float

    @property
    def inside_noise(self) -> bool:
        """Whether chance explains the difference, given how many pairs were compared."""
        return not self.test.difference.excludes_zero or self.adjusted_p >= LEVEL

    @property
    def about(self) -> About:
        """What the comparison speaks of: trainings, or just these two runs."""
        return self.test.about

    @property
    def verdict(self) -> Verdict:
        """The outcome in words that claim no more than the number of seeds allows."""
        return verdict(self.about, inside_noise=self.inside_noise)


Verdict = Literal[
    "different",
    "cannot tell",
    "these two runs differ on these problems",
    "these two runs cannot be told apart",
]


def verdict(about: About, *, inside_noise: bool) -> Verdict:
    """The outcome of a comparison in words: about trainings with several seeds, about two runs with one."""
    if about == "trainings":
        return "cannot tell" if inside_noise else "different"
    return (
        "these two runs cannot be told apart" if inside_noise else "these two runs differ on these problems"
    )


def compare_arms(arms: Sequence[Trajectory]) -> list[ArmComparison]:
    """Every pair of arms measured on the same problems, in the study's order."""
    pairs = []
    for first, second in itertools.combinations(arms, 2):
        a, b = common_seeds(first, second)
        if a is not None and b is not None:
            test = paired_test(b.accuracy_per_problem(-1), a.accuracy_per_problem(-1), crossed=a.crossed)
            pairs.append((first.arm, second.arm, test))
    adjusted = corrected([test for _, _, test in pairs])
    return [ArmComparison(*pair, p) for pair, p in zip(pairs, adjusted, strict=True)]


def common_seeds(first: Trajectory, second: Trajectory) -> tuple[Trajectory, Trajectory] | tuple[None, None]:
    """Both trajectories with the seeds they share; None where they were not measured on the same problems."""
    shared = [c.seed for c in first.counts if c.seed in {d.seed for d in second.counts}]
    a, b = first.with_seeds(shared), second.with_seeds(shared)
    if not shared or [c.problems for c in a.counts] != [c.problems for c in b.counts]:
        return None, None
    return a, b


@dataclass(frozen=True)
class Cost:
    """What one arm had spent at each of its evaluated steps, averaged over seeds.

    Attributes:
        samples: completions sampled for training; None where the run did not record them.
        seconds: compute time of training, evaluations left out; None where the run did not record it.
    """

    samples: tuple[float | None, ...]
    seconds: tuple[float | None, ...]


def cost(run: Run, t: Trajectory) -> Cost:
    """Samples and seconds that an arm had spent at each evaluated step."""
    samples: dict[int, list[float]] = defaultdict(list)
    for row in _rows_of(run.metrics, t):
        if row.get("samples_seen") is not None:
            samples[int(row["step"])].append(float(row["samples_seen"]))
    spent: dict[int, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for row in _rows_of(run.timing, t):
        if row.get("what", "train") != "evaluation" and row.get("seconds") is not None:
            spent[row["seed"]][int(row.get("step") or 0)] += float(row["seconds"])
    seconds: dict[int, list[float]] = defaultdict(list)
    for by_step in spent.values():
        for step in t.steps:
            if step <= max(by_step):
                seconds[step].append(sum(value for at, value in by_step.items() if at <= step))
    return Cost(_means(samples, t.steps), _means(seconds, t.steps))


def _rows_of(rows: Sequence[Mapping[str, object]], t: Trajectory) -> list[Mapping[str, Any]]:
    cell = (t.arm, t.size, t.mixture)
    return [r for r in rows if r.get("stage") == "rl" and (r["arm"], r["size"], r["mixture"]) == cell]


def _means(found: Mapping[int, Sequence[float]], steps: Sequence[int]) -> tuple[float | None, ...]:
    return tuple(
        0.0 if step == 0 and found else float(np.mean(found[step])) if step in found else None
        for step in steps
    )


EndpointVerdict = Literal["confirmed", "refuted", "undecided", "not measured"]


@dataclass(frozen=True)
class EndpointResult:
    """What became of one endpoint at one size and mixture.

    Attributes:
        endpoint: as named in the study file.
        where: size, mixture and benchmark.
        value, reference: the metric of the arm and of what it is compared with.
        difference: value minus reference with its interval.
        verdict: confirmed when the whole interval agrees with the prediction, refuted when all of it
            disagrees, undecided when it holds both.
        reason: why it was not measured, otherwise empty.
    """

    endpoint: Endpoint
    where: str
    value: Interval | None
    reference: Interval | None
    difference: Interval | None
    verdict: EndpointVerdict
    reason: str = ""


def endpoints_of(run: Run) -> list[Endpoint]:
    """The endpoints that the run's study file names.

    Raises:
        EchoError: the resolved study in the run folder does not hold valid endpoints.
    """
    found: list[Endpoint] = []
    for study in run.study:
        for plain in study.get("endpoints") or []:
            try:
                endpoint = Endpoint.model_validate(plain)
            except ValidationError as error:
                raise EchoError(f"{run.folder / 'study.yaml'}: damaged endpoint {plain}: {error}") from error
            if endpoint not in found:
                found.append(endpoint)
    return found


def endpoint_results(run: Run, found: Sequence[Trajectory]) -> list[EndpointResult]:
    """The outcome of every endpoint at every size and mixture, from sampled completions."""
    sampled = [t for t in found if not t.greedy] or list(found)
    cells = list(dict.fromkeys((t.size, t.mixture) for t in sampled))
    return [
        _result(run, endpoint, size, mixture, [t for t in sampled if (t.size, t.mixture) == (size, mixture)])
        for endpoint in endpoints_of(run)
        for size, mixture in cells
    ]


def _result(
    run: Run, endpoint: Endpoint, size: str, mixture: str, cell: Sequence[Trajectory]
) -> EndpointResult:
    benchmark = endpoint.benchmark or cell[0].benchmark
    where = f"{size} on {mixture}, {benchmark}"
    named = {t.arm: t for t in cell if t.benchmark == benchmark}

    def missing(reason: str) -> EndpointResult:
        return EndpointResult(endpoint, where, None, None, None, "not measured", reason)

    for arm in (endpoint.arm, endpoint.against):
        if arm not in named:
            return missing(f"the run holds no arm '{arm}' on {benchmark}")
    first, second = common_seeds(named[endpoint.arm], named[endpoint.against])
    if first is None or second is None:
        return missing("the two were not measured on the same problems")
    if endpoint.format is not None and endpoint.format not in first.formats:
        return missing(f"no completion of the run is in the format '{endpoint.format}'")
    if max(endpoint.k, 1) > first.num_samples:
        return missing(f"k {endpoint.k} exceeds the {first.num_samples} samples a problem")
    measured, against = _measure(run, endpoint, first), _measure(run, endpoint, second)
    value, reference = (ratio_bands(r, crossed=first.crossed).at(0) for r in (measured, against))
    difference = ratio_test(against, measured, crossed=first.crossed).difference
    if not np.isfinite(difference.low):
        return missing("one of the two wrote nothing in this format")
    return EndpointResult(endpoint, where, value, reference, difference, _verdict(endpoint, difference))


def _measure(run: Run, endpoint: Endpoint, t: Trajectory) -> Ratio:
    """A metric at the last step."""
    if endpoint.metric == "accuracy":
        f = t.formats.index(str(endpoint.format))
        return Ratio(
            [c.reward[:, -1, f, None] for c in t.counts], [c.completions[:, -1, f, None] for c in t.counts]
        )
    if endpoint.metric == "share":
        values = t.share_per_problem(-1, str(endpoint.format))
    elif endpoint.metric == "maj_at":
        values = majority_per_problem(run, t, -1, endpoint.k)[0]
    else:
        values = t.pass_per_problem(-1, endpoint.k)
    return Ratio.mean([v[:, None] for v in values])


def _verdict(endpoint: Endpoint, difference: Interval) -> EndpointVerdict:
    low, high, margin = difference.low, difference.high, endpoint.margin
    if endpoint.expect == "no change":
        if -margin < low and high < margin:
            return "confirmed"
        return "refuted" if low > margin or high < -margin else "undecided"
    if endpoint.expect == "decrease":
        low, high = -high, -low
    if low > margin:
        return "confirmed"
    return "refuted" if high < margin or high <= 0 else "undecided"
