"""The data that the sections of a page draw: one run, its trajectories and the groups that they form."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from echochamber.analysis import (
    Interval,
    Run,
    Trajectory,
    greedy_twin,
    majority_per_problem,
    trajectories,
)
from echochamber.evaluation import Cell
from echochamber.report.palette import arm_styles, format_colors


class ArmGroup:
    """Trajectories that share a base model: one size and mixture, one benchmark, the base and every arm.

    Args:
        members: the base model and the arms in the study's order.
        found: every trajectory of the run, among them the members' greedy twins.
    """

    def __init__(self, members: Sequence[Trajectory], found: Sequence[Trajectory]) -> None:
        self.members = tuple(sorted(members, key=lambda t: not t.is_base))
        """The base model first, then the arms."""
        first = self.members[0]
        self.size, self.mixture, self.benchmark = first.size, first.mixture, first.benchmark
        self.styles = arm_styles(first.model, [t.model for t in self.arms])
        self.colors = format_colors(first.formats)
        twins = {t.model: greedy_twin(t, found) for t in self.members if not t.greedy}
        self.greedy = {model: twin for model, twin in twins.items() if twin is not None}
        """The members decoded greedily, by model, where the study measured them."""

    @property
    def base(self) -> Trajectory:
        """The base model."""
        return self.members[0]

    @property
    def arms(self) -> tuple[Trajectory, ...]:
        """The arms without the base model."""
        return tuple(t for t in self.members if not t.is_base)

    @property
    def point(self) -> str:
        """The sweep point of the base model, empty if the sweep does not change pretraining."""
        return self.base.cell.sweep

    @property
    def model(self) -> str:
        """Size, mixture and sweep point of the base model, in words."""
        return f"{self.size} on {self.mixture}{f', {self.point}' if self.point else ''}"

    @property
    def title(self) -> str:
        """Base model and benchmark in words."""
        return f"{self.model}, {self.benchmark}"

    @property
    def slug(self) -> str:
        """The same for file names."""
        return "-".join(
            "".join(c if c.isalnum() else "_" for c in p)
            for p in (self.size, self.mixture, self.benchmark, self.point)
            if p
        )


class Material:
    """The data that the sections of one page draw.

    Args:
        run: the run whose records are shown.

    Attributes:
        trajectories: every arm and base model, sampled and greedy.
        groups: the trajectories by base model and benchmark; the study's first benchmark comes first.
        primary: the groups of the study's first benchmark, which headlines are about.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.trajectories = trajectories(run)
        self.groups = _groups(self.trajectories)
        self.primary = [group for group in self.groups if group.benchmark == self.groups[0].benchmark]

    @property
    def formats(self) -> tuple[str, ...]:
        """Every label of a completion that occurs in the run."""
        return self.groups[0].base.formats

    @property
    def num_seeds(self) -> int:
        """Training runs of each cell."""
        return self.groups[0].base.num_seeds


def _groups(found: Sequence[Trajectory]) -> list[ArmGroup]:
    """Sampled trajectories, or the greedy ones if nothing was sampled, by base model and benchmark."""
    members: dict[Cell, list[Trajectory]] = defaultdict(list)
    for t in [t for t in found if not t.greedy] or found:
        members[t.base].append(t)
    return [ArmGroup(one, found) for one in members.values()]


def final_metrics(run: Run, t: Trajectory) -> dict[str, Interval]:
    """pass@k and maj@k at the last step, by their labels, for each k in the summary."""
    row = next(r for r in run.rows if Cell.of(r).over_seeds() == t.cell and r["greedy"] == t.greedy)
    found: dict[str, Interval] = {}
    for k in sorted(int(k) for k in row["pass_at"]):
        found[f"pass@{k}"] = t.mean(t.pass_per_problem(-1, k))
        if k > 1:
            found[f"maj@{k}"] = t.mean(majority_per_problem(run, t, -1, k)[0])
    return found
