"""The first screen: what happened to the first arm in one line and a few tiles, then each arm in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from echochamber.analysis import (
    Control,
    FormatChange,
    Headline,
    Sharpening,
    Trajectory,
    compare_arms,
    controls,
    greedy_twin,
    headline,
    percent,
    sharpening,
    temperature,
)
from echochamber.evaluation import Cell
from echochamber.report.material import ArmGroup, Material
from echochamber.report.palette import format_colors
from echochamber.report.texts import change_text, end_text


@dataclass(frozen=True)
class Opening:
    """One arm as the first screen describes it.

    Attributes:
        headline: formats and pass@1, the last step compared with the first.
        greedy: the same for pass@1 decoded greedily, None where it was not measured.
        twin: the arm decoded greedily.
        where: size and mixture where the run has several, otherwise empty.
        temperature: at which the samples were drawn.
    """

    headline: Headline
    greedy: Sharpening | None
    twin: Trajectory | None
    where: str
    temperature: float

    def sentences(self) -> list[str]:
        """What happened, each sentence true of the numbers."""
        found = self.headline.sentences()
        if self.greedy is not None:
            found += [self.greedy.sentence(), *self._greedy_formats()]
        elif not self.headline.trajectory.greedy and not self.headline.gain.inside_noise:
            found.append(
                f"Nothing was decoded greedily (evaluation.greedy), so how much of this is sharpening at "
                f"T = {self.temperature:g} is unknown."
            )
        return found

    @property
    def arm(self) -> Cell:
        """The cell of the arm, over all base models."""
        return self.headline.trajectory.cell.over_bases()

    @property
    def changes(self) -> list[tuple[FormatChange, str]]:
        """The formats that the headline mentions, each with what happened to it."""
        h = self.headline
        changes = [(c, "wiped out") for c in h.lost]
        if h.winner:
            changes.append((h.winner, "took over" if h.took_over else "most frequent at the end"))
        return changes

    def greedy_share(self, name: str) -> str:
        """A format's share of the greedy answers at the first and last step; empty if none were measured."""
        if self.twin is None or name not in self.twin.formats:
            return ""
        before, after = (self.twin.share_at(i)[name] for i in (0, -1))
        return f"{percent(before)} → {percent(after)}"

    def _greedy_formats(self) -> list[str]:
        shares = [f"{c.name} {self.greedy_share(c.name)}" for c, _ in self.changes]
        return [f"Shares of the greedy answers: {', '.join(shares)}."] if shares else []


def openings(material: Material) -> list[Opening]:
    """Every arm on the study's first benchmark, in the study's order."""
    run, primary, found = material.run, material.primary, material.trajectories
    return [
        Opening(
            headline(t),
            sharpening(run, t, found),
            greedy_twin(t, found),
            "" if len(primary) == 1 else f"{t.size} on {t.mixture}",
            temperature(run, t),
        )
        for group in primary
        for t in group.arms
    ]


def first_screen(material: Material) -> dict[str, Any]:
    """What the header of the page shows, by the variable names of its template."""
    arms, found = openings(material), controls(material.run)
    return {
        "title": title(arms),
        "main": arms[0].headline if arms else None,
        "tiles": tiles(arms[0]) if arms else [],
        "arms": arms,
        "control_arms": {control.cell for control in found},
        "control_lines": [control_line(control, material.primary) for control in found],
        "num_seeds": material.num_seeds,
    }


def control_line(control: Control, groups: Sequence[ArmGroup]) -> str:
    """Which arm a control is the twin of, and how far apart the two ended, sampled and greedy."""
    text = control.sentence()
    if not control.matched:
        return text
    for group in groups:
        pair = [t for t in group.arms if t.cell.over_bases() in (control.nearest, control.cell)]
        for c in compare_arms(pair):
            greedy = compare_arms([group.greedy[t.model] for t in pair if t.model in group.greedy])
            change = change_text(c.test.difference)
            text += f" {group.title}: {c.first.name} minus {c.second.name} {change} points of pass@1"
            text += f", decoded greedily {change_text(greedy[0].test.difference)}." if greedy else "."
    return text


def title(arms: list[Opening]) -> str:
    """The first arm's finding in one line; with one seed, it is about that run."""
    if not arms:
        return "A base model, before any RL"
    h = arms[0].headline
    lost = _listed([c.name for c in h.lost])
    if h.lost and h.took_over and h.winner:
        text = f"RL amplified {h.winner.name} and wiped out {lost}"
    elif h.lost:
        text = f"RL wiped out {lost}"
    elif h.took_over and h.winner:
        text = f"RL amplified {h.winner.name}; no format was wiped out"
    else:
        return "No format was wiped out and none took over"
    return text if h.trajectory.num_seeds > 1 else f"In this run {text}"


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def tiles(arm: Opening) -> list[dict[str, str]]:
    """Key numbers of the first arm: accuracy sampled and greedy, then what happened to the formats."""
    h = arm.headline
    t = h.trajectory
    found = [
        {
            "label": f"{'greedy' if t.greedy else f'pass@1 at T = {arm.temperature:g}'}, {t.benchmark}",
            "value": f"{percent(h.before.estimate)} → {percent(h.after.estimate)}",
            "note": f"{change_text(h.gain.difference)} points"
            + (", within the noise" if h.gain.inside_noise else ""),
            "color": "",
        }
    ]
    if arm.greedy is not None:
        test = arm.greedy.greedy
        found.append(
            {
                "label": f"decoded greedily, {t.benchmark}",
                "value": f"{percent(arm.greedy.before.estimate)} → {percent(arm.greedy.after.estimate)}",
                "note": f"{change_text(test.difference)} points"
                + (", within the noise" if test.inside_noise else ""),
                "color": "",
            }
        )
    colors = format_colors(t.formats)
    for change, what in arm.changes:
        found.append(
            {
                "label": f"{change.name}: {what}",
                "value": f"{percent(change.before.estimate)} → {percent(change.after.estimate)}",
                "note": f"share of samples, now [{end_text(change.after.low)}, {end_text(change.after.high)}]"
                + (f"; greedy {greedy}" if (greedy := arm.greedy_share(change.name)) else ""),
                "color": colors[change.name],
            }
        )
    return found
