"""Shares and accuracies of one arm over its RL steps, with intervals.

Shapes: T evaluated steps, F formats, P problems of one seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
import pyarrow as pa

from echochamber.analysis.intervals import Array, Bands, Interval, Ratio, ratio_bands
from echochamber.analysis.paired_tests import PairedTest, paired_test
from echochamber.analysis.resampling import ProblemBootstrap
from echochamber.analysis.runs import WHERE_CELL, Run, of_cell
from echochamber.base import EchoError, InputError
from echochamber.evaluation import Cell, Votes, count_votes, maj_at_k, pass_at_k
from echochamber.formats import format_names

NOT_A_FORMAT = ("none", "ambiguous")


@dataclass(frozen=True)
class Counts:
    """Completions of one seed, counted by problem, step and format.

    Attributes:
        seed: root seed of the training run.
        problems: P problem identities.
        completions: how many of each problem at each step are in each format, shape (P, T, F).
        reward: sum of their rewards, shape (P, T, F).
        correct: how many of them are correct, shape (P, T).
    """

    seed: int
    problems: tuple[str, ...]
    completions: Array
    reward: Array
    correct: Array


@dataclass(frozen=True)
class Trajectory:
    """One cell of a study, all seeds together, over its evaluated steps.

    Attributes:
        cell: what it is about; without a seed.
        greedy: whether the completions were decoded greedily.
        steps: the T evaluated steps, ascending.
        formats: the F labels that occur in the study, formats first, then none and ambiguous.
        counts: one entry per seed.
        base: cell of the base model that it started from; its own for a base model.
    """

    cell: Cell
    greedy: bool
    steps: tuple[int, ...]
    formats: tuple[str, ...]
    counts: tuple[Counts, ...]
    base: Cell

    @property
    def is_base(self) -> bool:
        """Whether this is a base model, before any RL."""
        return self.cell.is_base

    @property
    def name(self) -> str:
        """Name of the arm, for display."""
        return self.cell.name

    @property
    def model(self) -> Cell:
        """Which model was measured: the cell without its benchmark."""
        return self.cell.on(None)

    @property
    def size(self) -> str:
        """Size of the model."""
        return self.cell.size

    @property
    def mixture(self) -> str:
        """Mixture that the model was pretrained on."""
        return self.cell.mixture

    @property
    def benchmark(self) -> str:
        """Benchmark that it was measured on."""
        return str(self.cell.benchmark)

    def with_seeds(self, seeds: Sequence[int]) -> Trajectory:
        """The same trajectory with only these seeds, in this order."""
        own = {count.seed: count for count in self.counts}
        return replace(self, counts=tuple(own[seed] for seed in seeds))

    @property
    def num_seeds(self) -> int:
        return len(self.counts)

    @property
    def num_problems(self) -> int:
        """Problems of one seed."""
        return len(self.counts[0].problems)

    @property
    def num_samples(self) -> int:
        """Completions per problem."""
        return round(float(self.counts[0].completions[0, 0].sum()))

    @cached_property
    def crossed(self) -> bool:
        """Whether all seeds were measured on the same problems."""
        return len({count.problems for count in self.counts}) == 1

    @cached_property
    def bootstrap(self) -> ProblemBootstrap:
        """Resamples of problems for quantities without a variance in closed form; equal on equal problems."""
        return ProblemBootstrap([len(count.problems) for count in self.counts], crossed=self.crossed)

    def ratio(self, numerator: Sequence[Array], denominator: Sequence[Array]) -> Bands:
        """Bands of sum(numerator) / sum(denominator) over one (P, ...) array per seed; shape (...)."""
        shape = numerator[0].shape[1:]
        measured = Ratio(
            [n.reshape(len(n), -1) for n in numerator], [d.reshape(len(d), -1) for d in denominator]
        )
        flat = ratio_bands(measured, crossed=self.crossed)
        return Bands(flat.estimate.reshape(shape), flat.low.reshape(shape), flat.high.reshape(shape))

    @cached_property
    def share(self) -> Bands:
        """Share of each format, shape (T, F)."""
        numerator = [c.completions for c in self.counts]
        return self.ratio(
            numerator, [np.broadcast_to(n.sum(axis=2, keepdims=True), n.shape) for n in numerator]
        )

    @cached_property
    def accuracy_by_format(self) -> Bands:
        """Mean reward of the completions in each format, shape (T, F); NaN where there are none."""
        return self.ratio([c.reward for c in self.counts], [c.completions for c in self.counts])

    @cached_property
    def pass_at_1(self) -> Bands:
        """Share of correct completions, shape (T,)."""
        return self.ratio([c.correct for c in self.counts], [c.completions.sum(axis=2) for c in self.counts])

    def accuracy_per_problem(self, index: int) -> list[Array]:
        """pass@1 of each problem at the index-th step, one (P,) array per seed."""
        return [c.correct[:, index] / c.completions[:, index].sum(axis=1) for c in self.counts]

    def pass_per_problem(self, index: int, k: int) -> list[Array]:
        """pass@k of each problem at the index-th step, one (P,) array per seed."""
        return [
            np.array(
                [
                    pass_at_k(round(n), round(c), k)
                    for n, c in zip(
                        count.completions[:, index].sum(axis=1), count.correct[:, index], strict=True
                    )
                ]
            )
            for count in self.counts
        ]

    def mean(self, per_problem: Sequence[Array]) -> Interval:
        """Mean of per-problem values between 0 and 1, one (P,) array per seed, with its interval."""
        return ratio_bands(Ratio.mean([values[:, None] for values in per_problem]), crossed=self.crossed).at(
            0
        )

    def share_per_problem(self, index: int, name: str) -> list[Array]:
        """Share of one format in each problem's completions, one (P,) array per seed."""
        f = self.formats.index(name)
        return [c.completions[:, index, f] / c.completions[:, index].sum(axis=1) for c in self.counts]

    def gain(self) -> PairedTest:
        """Paired comparison of pass@1 between the first and the last step."""
        return paired_test(self.accuracy_per_problem(0), self.accuracy_per_problem(-1), crossed=self.crossed)

    def share_change(self, name: str) -> PairedTest:
        """Paired comparison of the share of one format between the first and the last step."""
        return paired_test(
            self.share_per_problem(0, name), self.share_per_problem(-1, name), crossed=self.crossed
        )

    def share_at(self, index: int) -> dict[str, float]:
        """Share of each format at the index-th step."""
        return {name: float(self.share.estimate[index, i]) for i, name in enumerate(self.formats)}


_COUNTS = """
    SELECT arm, algorithm, size, mixture, seed, sweep, benchmark, step, greedy, problem_id, format,
           count(*)::DOUBLE AS num, sum(reward)::DOUBLE AS reward,
           count(*) FILTER (WHERE outcome = 'correct')::DOUBLE AS correct
    FROM completions GROUP BY ALL ORDER BY ALL
"""


def trajectories(run: Run) -> list[Trajectory]:
    """Every cell of a run under every protocol: the study's first benchmark first, and within a benchmark in
    the order of the summary.

    An arm that was not measured at step 0 starts from the measurement of its base model: in a sweep over
    pretraining, that of the same point.

    Raises:
        EchoError: completions and summary do not describe the same run, or the seeds of an arm were
            measured at different steps.
    """
    if ("trajectories",) not in run.memo:
        run.memo["trajectories",] = _trajectories(run)
    return list(run.memo["trajectories",])


def _trajectories(run: Run) -> list[Trajectory]:
    table = run.query(_COUNTS)
    seen = set(table["format"].unique().to_pylist())
    formats = _in_order({name for row in run.rows for name in row["share"]} & seen)
    if seen - set(formats):
        raise EchoError(
            f"{run.folder}: the completions hold formats that summary.json does not: "
            f"{', '.join(sorted(seen - set(formats)))}. Run the study again to gather them"
        )
    rows_of: dict[tuple[Cell, bool], list[int]] = {}
    columns = {name: table[name].to_pylist() for name in table.column_names}
    names = [field.name for field in fields(Cell)]
    for i, values in enumerate(zip(*(columns[name] for name in names), strict=True)):
        rows_of.setdefault((Cell(*values), columns["greedy"][i]), []).append(i)
    seeds = list(dict.fromkeys(row["seed"] for row in run.rows))
    known = {cell for cell, _ in run.cells}
    result = []
    for cell, greedy in run.cells:
        counted = []
        base = cell.base(cell.sweep) if cell.base(cell.sweep) in known else cell.base()
        for seed in seeds:
            own = rows_of.get((replace(cell, seed=seed), greedy), [])
            if own and 0 not in {columns["step"][i] for i in own}:
                own = [*rows_of.get((replace(base, seed=seed), greedy), []), *own]
            if own:
                counted.append(_count(table.take(own), seed, formats))
        steps = {step for step, _ in counted}
        if len(steps) != 1:
            raise EchoError(
                f"{run.folder}: the seeds of {cell.name} were measured at different steps; "
                "run the study again"
            )
        counts = tuple(count for _, count in counted)
        result.append(Trajectory(cell, greedy, steps.pop(), formats, counts, base))
    return sorted(result, key=lambda t: run.benchmarks.index(t.benchmark))


_ANSWERS = f"""
    SELECT seed, problem_id, list(answer ORDER BY sample) AS answers,
           list(outcome = 'correct' ORDER BY sample) AS correct
    FROM completions
    WHERE {WHERE_CELL} AND greedy = $greedy AND step = $step
    GROUP BY seed, problem_id ORDER BY seed, problem_id
"""


def majority_per_problem(
    run: Run, trajectory: Trajectory, index: int, k: int
) -> tuple[list[Array], list[Array]]:
    """maj@k of each problem at the index-th step and its probability of a tie, two (P,) arrays per seed."""
    votes = _votes(run, trajectory, trajectory.steps[index])
    found = [[maj_at_k(votes[count.seed, p], k) for p in count.problems] for count in trajectory.counts]
    return (
        [np.array([m.accuracy for m in one]) for one in found],
        [np.array([m.ties for m in one]) for one in found],
    )


def _votes(run: Run, t: Trajectory, step: int) -> dict[tuple[int, str], Votes]:
    """What the samples of each seed and problem voted for."""
    key = ("votes", t.cell, t.greedy, step)
    if key not in run.memo:
        when = {"greedy": t.greedy, "step": step}
        table = run.query(_ANSWERS, of_cell(t.cell) | when)
        if not table.num_rows:  # an arm that was not measured at step 0 starts from its base model's answers
            table = run.query(_ANSWERS, of_cell(t.base) | when)
        run.memo[key] = {
            (row["seed"], row["problem_id"]): count_votes(row["answers"], row["correct"])
            for row in table.to_pylist()
        }
    votes: dict[tuple[int, str], Votes] = run.memo[key]
    return votes


def _count(table: pa.Table, seed: int, formats: tuple[str, ...]) -> tuple[tuple[int, ...], Counts]:
    """The steps of one seed and its counts."""
    steps = sorted(set(table["step"].to_pylist()))
    problems = sorted(set(table["problem_id"].to_pylist()))
    where = (
        _places(table["problem_id"].to_pylist(), problems),
        _places(table["step"].to_pylist(), steps),
        _places(table["format"].to_pylist(), formats),
    )
    shape = (len(problems), len(steps), len(formats))
    completions, reward, correct = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    completions[where] = table["num"].to_numpy()
    reward[where] = table["reward"].to_numpy()
    correct[where] = table["correct"].to_numpy()
    if (completions.sum(axis=2) == 0).any():
        raise EchoError(f"seed {seed}: some problems have no completions at some steps; rows were lost")
    return tuple(steps), Counts(seed, tuple(problems), completions, reward, correct.sum(axis=2))


def _places(values: Sequence[object], order: Sequence[object]) -> np.ndarray:
    index = {value: i for i, value in enumerate(order)}
    return np.array([index[value] for value in values])


def _in_order(names: set[str]) -> tuple[str, ...]:
    """Formats in order of registration, then those this process does not know, then the other labels."""
    last = [name for name in NOT_A_FORMAT if name in names]
    first = [name for name in format_names() if name in names]
    return (*first, *sorted(names - set(first) - set(last)), *last)


def select(
    found: Sequence[Trajectory], *, benchmark: str | None = None, greedy: bool = False
) -> list[Trajectory]:
    """Trajectories of one benchmark (the study's first by default) and one protocol.

    Raises:
        InputError: no such benchmark.
    """
    known = list(dict.fromkeys(t.benchmark for t in found))
    if benchmark is None:
        benchmark = known[0] if known else ""
    elif benchmark not in known:
        raise InputError(f"no benchmark '{benchmark}' in this run: expected one of {', '.join(known)}")
    return [t for t in found if t.benchmark == benchmark and t.greedy == greedy]
