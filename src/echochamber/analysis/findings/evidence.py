"""What findings are tested on: a run's arms, sorted, with what they had seen at each evaluated step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from echochamber.analysis.intervals import Array
from echochamber.analysis.recorded import RecordedArm, RecordedMixture, RecordedSource
from echochamber.analysis.runs import Run
from echochamber.analysis.spending import samples_seen
from echochamber.analysis.trajectories import Trajectory, majority_per_problem, select, trajectories
from echochamber.evaluation import Cell

NO_POLICY_GRADIENT = ("expert_iteration", "sft")
ONE_SPACING = 1.5
"""Largest factor by which an evaluated step may miss a wanted point; usual grids have a factor of 1.41."""

Majority = Callable[[Trajectory, int, int], list[Array]]


@dataclass(frozen=True)
class Lacking:
    """What a run lacks for a statement to be tested."""

    reason: str


@dataclass(frozen=True)
class Evidence:
    """The measurements and configs of a study, as findings need them.

    Attributes:
        primary: arms and base models on the study's first benchmark, sampled.
        others: the rewarded arms on the other benchmarks, sampled.
        controls: arms of `primary` whose reward carries no signal.
        configs: what the study says about the arms of `primary`, by their cells.
        mixtures, sources: what it says about its mixtures and sources.
        questions: how many questions each task has.
        samples: completions an arm had been trained on at each evaluated step, by the cells of `primary`.
        majority: maj@k of each problem at an evaluated step.
    """

    primary: tuple[Trajectory, ...]
    others: tuple[Trajectory, ...]
    controls: tuple[Trajectory, ...]
    configs: Mapping[Cell, RecordedArm]
    mixtures: Mapping[str, RecordedMixture]
    sources: Mapping[str, RecordedSource]
    questions: Mapping[str, int]
    samples: Mapping[Cell, Sequence[float | None]]
    majority: Majority
    arms: tuple[Trajectory, ...] = field(init=False)

    def __post_init__(self) -> None:
        without = {t.cell for t in self.controls}
        paid = tuple(t for t in self.primary if not t.is_base and t.cell not in without)
        object.__setattr__(self, "arms", paid)

    def of(self, *algorithms: str) -> list[Trajectory]:
        """The rewarded arms of some algorithms."""
        return [t for t in self.arms if t.cell.algorithm in algorithms]

    @property
    def policy_gradient(self) -> list[Trajectory]:
        """The rewarded arms that follow a policy gradient: PPO, GRPO and their variants."""
        return [t for t in self.arms if t.cell.algorithm not in NO_POLICY_GRADIENT]

    def pairs(self, first: str, second: str) -> list[tuple[Trajectory, Trajectory]]:
        """Arms of two algorithms that start from the same base models."""
        return [(a, b) for a in self.of(first) for b in self.of(second) if a.base == b.base]

    def name(self, t: Trajectory) -> str:
        """An arm, with its size and mixture where the run has several."""
        several = len({(a.size, a.mixture) for a in self.primary}) > 1
        return f"{t.name} ({t.size} on {t.mixture})" if several else t.name

    def samples_at(self, t: Trajectory) -> list[float] | None:
        """Completions an arm had been trained on at each evaluated step; None where that is not known."""
        found = self.samples.get(t.cell)
        per_step = self.configs[t.cell].samples_per_step
        if (found is None or None in found) and per_step:
            return [float(step * per_step) for step in t.steps]
        return None if found is None or None in found else [float(value or 0.0) for value in found]

    def passes_at(self, t: Trajectory) -> list[float] | None:
        """How often an arm had seen each question of its task at each evaluated step, on average."""
        config = self.configs[t.cell]
        samples, per_prompt = self.samples_at(t), config.samples_per_prompt
        questions = self.questions.get(config.task)
        if samples is None or not per_prompt or not questions:
            return None
        return [value / per_prompt / questions for value in samples]

    def first_pass(self, t: Trajectory) -> int | Lacking:
        """Index of the evaluated step at the end of the first pass over the questions, or just before it."""
        passes = self.passes_at(t)
        if passes is None:
            return Lacking("steps: the run does not say how many questions an arm had seen")
        return step_near(t, passes, 1.0, "one pass over the questions")


def step_near(t: Trajectory, amount: Sequence[float], wanted: float, what: str) -> int | Lacking:
    """Index of the last evaluated step at which an amount is not above a wanted one, and within reach of it.

    The first and the last step do not count: a statement about an intermediate step would be trivial there.
    """
    inside = [
        i
        for i, value in enumerate(amount)
        if 0 < i < len(t.steps) - 1 and wanted / ONE_SPACING <= value <= wanted * (1 + 1e-9)
    ]
    return (
        inside[-1]
        if inside
        else Lacking(f"steps: {t.name} has no evaluated step near {what}, before its last")
    )


def gather_evidence(run: Run) -> Evidence:
    """Sort a run's arms into those that learn from correctness and controls that cannot."""
    sampled = [t for t in trajectories(run) if not t.greedy]
    primary = select(sampled) if sampled else []
    first = primary[0].benchmark if primary else ""
    arms = [t for t in primary if not t.is_base]
    return Evidence(
        primary=tuple(primary),
        others=tuple(
            t for t in sampled if t.benchmark != first and not t.is_base and not run.arm(t.cell).is_control
        ),
        controls=tuple(t for t in arms if run.arm(t.cell).is_control),
        configs={t.cell: run.arm(t.cell) for t in arms},
        mixtures=run.study.mixtures,
        sources=run.study.sources,
        questions=run.summary["questions"],
        samples={t.cell: samples_seen(run, t) for t in arms},
        majority=lambda t, index, k: majority_per_problem(run, t, index, k)[0],
    )
