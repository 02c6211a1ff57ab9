"""The outcome of the endpoints that a study named before its run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from echochamber.analysis.contrasts import Statement, Term, all_of, beyond, sum_of, within
from echochamber.analysis.endpoints import Endpoint, Place
from echochamber.analysis.findings import Evidence, Lacking, gather_evidence
from echochamber.analysis.findings.certainty import leads, real_formats, share_versus
from echochamber.analysis.findings.evidence import ONE_SPACING
from echochamber.analysis.forecast import forecast, rules_of_thumb, tilt_per_problem
from echochamber.analysis.intervals import Array, Interval, Ratio, ratio_bands
from echochamber.analysis.paired_tests import PairedTest, holm
from echochamber.analysis.runs import Run
from echochamber.analysis.trajectories import Trajectory, majority_per_problem, trajectories

EndpointRuling = Literal[
    "confirmed",
    "refuted",
    "undecided",
    "seen in this run",
    "opposite in this run",
    "cannot tell",
    "not measured",
]
_WORDS: dict[bool, dict[str, EndpointRuling]] = {
    True: {"supported": "confirmed", "contradicted": "refuted", "open": "undecided"},
    False: {"supported": "seen in this run", "contradicted": "opposite in this run", "open": "cannot tell"},
}


@dataclass(frozen=True)
class EndpointResult:
    """The outcome of one endpoint in one cell.

    Attributes:
        endpoint: as named in the study file.
        where: size, mixture, sweep point and benchmark.
        value, reference: the metric of the cell and of what it is compared with.
        difference: value minus reference, with its uncorrected 95 % interval; for a difference of
            differences, minus the same difference in the other cells.
        ruling: confirmed when the data exclude the opposite of the prediction, refuted when they exclude the
            prediction, undecided when they exclude neither; with one seed, in words about that run.
        reason: why it was not measured, otherwise empty.
        p_value: of what the ruling excludes, or the smaller of the two.
        adjusted_p: the same after Holm's correction for all endpoints of the study, which the ruling uses.
        num_seeds: training runs behind each side.
    """

    endpoint: Endpoint
    where: str
    value: Interval | None
    reference: Interval | None
    difference: Interval | None
    ruling: EndpointRuling
    reason: str = ""
    p_value: float | None = None
    adjusted_p: float | None = None
    num_seeds: int = 0


def endpoints_of(run: Run) -> list[Endpoint]:
    """The endpoints that the run's study file names, each once."""
    found: list[Endpoint] = []
    for point in run.points:
        found += [endpoint for endpoint in point.endpoints if endpoint not in found]
    return found


def endpoint_results(run: Run) -> list[EndpointResult]:
    """The outcome of every endpoint in every cell that it covers, corrected for their number."""
    if ("endpoints",) not in run.memo:
        run.memo["endpoints",] = _results(run, trajectories(run))
    return list(run.memo["endpoints",])


def _results(run: Run, found: Sequence[Trajectory]) -> list[EndpointResult]:
    stated = endpoints_of(run)
    if not stated:
        return []
    search = _Search(run, found, gather_evidence(run))
    tested = [search.result(endpoint, cell) for endpoint in stated for cell in search.cells(endpoint)]
    measured = [s for _, s in tested if s is not None]
    alone = len(measured) == 1
    adjusted = iter(holm([min((s.support, s.against) if alone else s.family) for s in measured]))
    return [result if s is None else _judged(result, s, next(adjusted)) for result, s in tested]


def _judged(result: EndpointResult, found: Statement, adjusted: float) -> EndpointResult:
    p_value = min(found.support, found.against)
    corrected = Statement(
        adjusted if found.support == p_value < 1.0 else 1.0,
        adjusted if found.against == p_value < 1.0 else 1.0,
        found.num_seeds,
    )
    ruling = _WORDS[found.num_seeds > 1][corrected.outcome]
    return replace(result, ruling=ruling, p_value=p_value, adjusted_p=adjusted, num_seeds=found.num_seeds)


@dataclass(frozen=True)
class _Measured:
    """One cell of an endpoint, found in the run: a trajectory and the index of its step."""

    place: Place
    trajectory: Trajectory
    index: int


class _Search:
    """Finds the cells of endpoints in a run and measures them."""

    def __init__(self, run: Run, found: Sequence[Trajectory], evidence: Evidence) -> None:
        self.run, self.found, self.evidence = run, found, evidence
        self.has_samples = any(not t.greedy for t in found)

    def cells(self, endpoint: Endpoint) -> Iterator[Place]:
        """The sizes, mixtures and sweep points that an endpoint leaves open, one cell each."""
        seen = [t.cell for t in self.found]
        points = {arm: {c.sweep for c in seen if c.arm == arm} for arm in {c.arm for c in seen}}
        cells = dict.fromkeys(
            (c.size, c.mixture, c.sweep if endpoint.sweep is None else endpoint.sweep)
            for c in seen
            if c.arm == endpoint.arm or endpoint.arm not in points
            if endpoint.size in (None, c.size) and endpoint.mixture in (None, c.mixture)
            if endpoint.sweep in (None, c.sweep) or "" in points[c.arm]
        )
        if not cells:  # the study names the arm, but the run does not have it
            cells = {(endpoint.size or "", endpoint.mixture or "", endpoint.sweep or ""): None}
        for size, mixture, point in cells:
            keys = {"size": size, "mixture": mixture, "sweep": point or None}
            yield endpoint.own.moved(Place.model_validate({k: v for k, v in keys.items() if v}))

    def result(self, endpoint: Endpoint, own: Place) -> tuple[EndpointResult, Statement | None]:
        """One endpoint in one cell; no statement where it could not be measured."""
        benchmark = own.benchmark or (self.run.benchmarks[0] if self.run.benchmarks else "")
        named = [f"{own.size} on {own.mixture}", own.sweep or "", benchmark]
        where = ", ".join(part for part in named if part)

        def missing(reason: str) -> tuple[EndpointResult, None]:
            return EndpointResult(endpoint, where, None, None, None, "not measured", reason), None

        places = [own]
        if endpoint.metric != "winner":
            places.append(own.moved(endpoint.reference))
        if endpoint.minus is not None:
            other = own.moved(endpoint.minus)
            places += [other, other.moved(endpoint.reference)]
        cells: list[_Measured] = []
        for place in places:
            cell = self.locate(place)
            if isinstance(cell, Lacking):
                return missing(cell.reason)
            cells.append(cell)
        cells = _with_common_seeds(cells)
        if not cells:
            return missing("the cells have no seed in common")
        if endpoint.metric == "winner":
            return self.winner(endpoint, where, cells[0])
        lacking = [reason for cell in cells if (reason := _unmeasurable(endpoint, cell))]
        if lacking:
            return missing(lacking[0])
        return self.compared(endpoint, where, cells)

    def compared(
        self, endpoint: Endpoint, where: str, cells: Sequence[_Measured]
    ) -> tuple[EndpointResult, Statement | None]:
        """A difference, or a difference of differences."""
        ratios = [self.measure(endpoint, cell) for cell in cells]
        problems = [tuple(c.problems for c in cell.trajectory.counts) for cell in cells]
        signs = (1, -1, -1, 1)
        test = sum_of([Term(*term) for term in zip(signs, ratios, problems, strict=False)])
        value, reference = (
            ratio_bands(r, crossed=cell.trajectory.crossed).at(0)
            for r, cell in zip(ratios[:2], cells[:2], strict=True)
        )
        result = EndpointResult(endpoint, where, value, reference, test.difference, "undecided")
        if not math.isfinite(test.difference.low):
            return replace(
                result, value=None, reference=None, difference=None, ruling="not measured",
                reason="one of the cells has no completions in this format",
            ), None  # fmt: skip
        return result, _statement(endpoint, test, nothing_varied=_nothing_varies(ratios))

    def locate(self, place: Place) -> _Measured | Lacking:
        """The trajectory and evaluated step of a place."""
        greedy = place.temperature == 0.0 or not self.has_samples
        benchmark = place.benchmark or (self.run.benchmarks[0] if self.run.benchmarks else "")
        # A result that all points of a sweep share has no label and counts for each of them.
        for sweep in dict.fromkeys((place.sweep or "", "")):
            wanted = (place.arm, place.size, place.mixture, sweep, benchmark, greedy)
            for t in self.found:
                c = t.cell
                if (c.arm, c.size, c.mixture, c.sweep, c.benchmark, t.greedy) == wanted:
                    index = self.index(t, place)
                    return index if isinstance(index, Lacking) else _Measured(place, t, index)
        how = "decoded greedily" if greedy else "sampled"
        at = f" at {place.sweep}" if place.sweep else ""
        return Lacking(
            f"the run holds no arm '{place.arm}'{at}, {place.size} on {place.mixture}, {benchmark}, {how}"
        )

    def index(self, t: Trajectory, place: Place) -> int | Lacking:
        """The evaluated step that a place names."""
        step = place.step
        if t.is_base or place.forecast is not None:
            return 0
        if step is None or step == "last":
            return len(t.steps) - 1
        if step == "first_pass":
            return self.evidence.first_pass(t)
        if isinstance(step, int):
            if step in t.steps:
                return t.steps.index(step)
            return Lacking(f"step {step} was not evaluated; {t.name} has {', '.join(map(str, t.steps))}")
        return step_at_fraction(t.steps, float(step), t.name)

    def measure(self, endpoint: Endpoint, cell: _Measured) -> Ratio:
        """The metric of one cell."""
        t, index, place = cell.trajectory, cell.index, cell.place
        if endpoint.metric in ("share", "accuracy"):
            f = t.formats.index(str(place.format))
            if place.forecast is not None:
                return _mean([share[:, f] for share in tilt_per_problem(t, 0.0)])
            if endpoint.metric == "accuracy":
                return Ratio(
                    [c.reward[:, index, f, None] for c in t.counts],
                    [c.completions[:, index, f, None] for c in t.counts],
                )
            return _mean(t.share_per_problem(index, str(place.format)))
        if endpoint.metric == "maj_at":
            return _mean(majority_per_problem(self.run, t, index, place.k or 1)[0])
        return _mean(t.pass_per_problem(index, place.k or 1))

    def winner(
        self, endpoint: Endpoint, where: str, cell: _Measured
    ) -> tuple[EndpointResult, Statement | None]:
        """The lead of a format over each other one; the table shows the closest rival."""
        t = cell.trajectory
        index = len(t.steps) - 1 if cell.place.forecast is not None else cell.index
        name = _named(cell.place, t)
        rivals = [other for other in real_formats(t) if other != name]
        if name not in t.formats or not rivals:
            reason = f"no completion of the run is in the format '{name}'" if rivals else "only one format"
            return EndpointResult(endpoint, where, None, None, None, "not measured", reason), None
        versus = share_versus(t, index)
        rival = max(rivals, key=lambda f: float(t.share.estimate[index, t.formats.index(f)]))
        test = versus(name, rival)
        found = leads(name, rivals, versus)
        if endpoint.margin:
            found = all_of([beyond(versus(name, other), +1, endpoint.margin) for other in rivals])
        shares = [t.share.at((index, t.formats.index(f))) for f in (name, rival)]
        label = f"{where}: {name} ahead of {rival}"
        return EndpointResult(endpoint, label, shares[0], shares[1], test.difference, "undecided"), found


def _named(place: Place, t: Trajectory) -> str:
    """The format that a place names, or that a theory names for it."""
    if place.forecast is None:
        return str(place.format)
    rules = rules_of_thumb(t)
    if place.forecast in rules:
        return rules[place.forecast]
    return next(f.winner for f in forecast(t) if f.theory == place.forecast)


def step_at_fraction(steps: Sequence[int], fraction: float, arm: str) -> int | Lacking:
    """Index of the evaluated step nearest to a fraction of the steps, if one is close enough."""
    wanted = fraction * steps[-1]
    index = min(range(1, len(steps)), key=lambda i: abs(math.log(steps[i] / wanted)), default=0)
    if index == 0 or not 1 / ONE_SPACING <= steps[index] / wanted <= ONE_SPACING:
        return Lacking(f"no step of {arm} near {fraction:g} of its steps was evaluated")
    return index


def _unmeasurable(endpoint: Endpoint, cell: _Measured) -> str:
    t, place = cell.trajectory, cell.place
    if place.format is not None and place.format not in t.formats:
        return f"no completion of the run is in the format '{place.format}'"
    if (place.k or 1) > t.num_samples:
        return f"k {place.k} exceeds the {t.num_samples} samples per problem"
    return ""


def _with_common_seeds(cells: Sequence[_Measured]) -> list[_Measured]:
    seeds = [
        c.seed
        for c in cells[0].trajectory.counts
        if all(c.seed in {d.seed for d in cell.trajectory.counts} for cell in cells)
    ]
    return [replace(cell, trajectory=cell.trajectory.with_seeds(seeds)) for cell in cells] if seeds else []


def _statement(endpoint: Endpoint, test: PairedTest, *, nothing_varied: bool) -> Statement:
    """The prediction of an endpoint, tested; data without any variation support neither direction."""
    if endpoint.expect == "no change":
        return within(test, endpoint.margin)
    if nothing_varied and test.difference.estimate == 0.0:
        return Statement(1.0, 1.0, test.num_seeds)
    direction = 1 if endpoint.expect == "increase" else -1
    return beyond(test, direction, direction * endpoint.margin)


def _nothing_varies(ratios: Sequence[Ratio]) -> bool:
    return all(
        np.allclose(n, p * d, atol=1e-12)
        for r in ratios
        for p in (float(r.estimate[0]),)
        for n, d in zip(r.numerator, r.denominator, strict=True)
    )


def _mean(values_P: Sequence[Array]) -> Ratio:
    return Ratio.mean([values[:, None] for values in values_P])
