"""Put figures, examples and numbers together into one HTML file."""

from __future__ import annotations

import json
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

from echochamber.analysis import (
    Headline,
    Interval,
    Run,
    Trajectory,
    compare_arms,
    endpoint_results,
    findings,
    headline,
    majority_per_problem,
    minimum_detectable_difference,
    percent,
    points,
    showing_lock,
    trajectories,
)
from echochamber.base import explained_write, write_file
from echochamber.report import build, compare, setup
from echochamber.report.build import Group
from echochamber.report.examples import examples
from echochamber.report.figures import Figure
from echochamber.report.images import write_images
from echochamber.report.palette import format_colors
from echochamber.report.plotly import panel_json
from echochamber.report.theory import Theory

MAX_EXAMPLES = 24
SHORT = {
    "shares": "Formats",
    "accuracy": "Accuracy",
    "arms": "Arms",
    "forecast": "Theory",
    "before-after": "Before/after",
    "dynamics": "Training",
    "pretraining": "Pretraining",
    "probabilities": "Probabilities",
}


def render(run_folder: Path, *, images: bool = True) -> Path:
    """Write `report.html` and `figures/*.png`, `figures/*.svg` from what the run folder holds.

    Reads only the run folder; equal records give equal bytes.

    Args:
        images: write the image files as well; they take most of the time.

    Returns:
        The path of the page.

    Raises:
        InputError: not a run folder.
        EchoError: its records are missing or damaged, or the folder cannot be written to.
    """
    run = Run(Path(run_folder))
    with showing_lock(run.folder):
        return _render(run, images=images)


def _render(run: Run, *, images: bool) -> Path:
    found = trajectories(run)
    shown = [t for t in found if not t.greedy] or found
    every = build.groups(shown)
    primary = [group for group in every if group.benchmark == every[0].benchmark]
    theories = [Theory(run, group) for group in primary]
    sections = _sections(run, every, primary, theories)
    if images:
        _write_all_images([figure for _, _, some in sections for figure in some], run.folder / "figures")
    arms = [headline(t) for group in primary for t in group.arms]
    page = _template().render(
        name=run.summary["study"],
        description=run.study[0].get("description", "") if run.study else "",
        title=_title(arms),
        main=arms[0] if arms else None,
        tiles=_tiles(arms[0]) if arms else [],
        arms=[{"name": _arm_title(h, primary), "sentences": h.sentences()} for h in arms],
        sections=[
            {
                "id": key,
                "title": title,
                "short": SHORT[key],
                "figures": [_figure_context(figure) for figure in some],
            }
            for key, title, some in sections
        ],
        examples=[
            {"title": group.title, "items": examples(run, group, num_problems=_per_group(len(primary)))}
            for group in primary
        ],
        colors=format_colors(shown[0].formats),
        numbers=[_number_rows(run, group, found) for group in every],
        formats=shown[0].formats,
        endpoints=endpoint_results(run, found),
        pairs=[{"title": g.title, "rows": compare_arms(g.arms)} for g in every if len(g.arms) > 1],
        forecasts=[t.table() for t in theories if t.arms],
        probabilities=_ends(run),
        alarms=run.alarms,
        opinion=run.second_opinion,
        single_seed=max(t.num_seeds for t in shown) == 1,
        findings=findings(run) if arms else [],
        noise=_noise(shown[0]),
        facts=setup.facts(run),
        environment=setup.flat(run.environment),
        seconds=[(title, f"{value:,.1f}") for title, value in run.summary.get("seconds", {}).items()],
        study_text=setup.study_text(run),
        style=_asset("report.css"),
        script=_asset("report.js"),
        plotly=_asset("plotly-basic.min.js"),
    )
    path = run.folder / "report.html"
    write_file(path, page)
    return path


def _template() -> Any:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["percent"] = percent
    environment.filters["points"] = points
    environment.filters["interval"] = _interval_text
    environment.filters["change"] = _change_text
    environment.filters["p_value"] = lambda p: "< 0.001" if p < 0.001 else f"{p:.3f}"
    environment.filters["embedded"] = embedded_json
    return environment.from_string(_asset("report.html.j2"))


def _asset(name: str) -> str:
    return (files("echochamber.report") / "assets" / name).read_text(encoding="utf-8")


def embedded_json(value: Any) -> str:
    """JSON that may stand inside a script element whatever text it holds."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _sections(
    run: Run, every: list[Group], primary: list[Group], theories: list[Theory]
) -> list[tuple[str, str, list[Figure]]]:
    """Anchor, heading and figures of each section that has any."""
    shares = [figure for g in every if g.arms for figure in (build.share_areas(g), build.share_lines(g))]
    compared = [f for g in primary for f in compare.arms(run, g, headline(g.arms[0]) if g.arms else None)]
    recorded = [f for g in primary for f in (*compare.dynamics(run, g), *compare.rollout_shares(run, g))]
    candidates = [
        ("shares", "Which formats survive", shares),
        ("accuracy", "Does it get the answers right", [build.accuracy(g) for g in every if g.arms]),
        ("arms", "The arms compared", compared),
        ("forecast", "What theory expected", [f for t in theories for f in t.figures()]),
        (
            "before-after",
            "Before and after",
            [*(build.before_after(run, g) for g in every), *compare.transfer(every)],
        ),
        ("dynamics", "During training", recorded),
        (
            "probabilities",
            "Before anything is sampled",
            [f for g in primary for f in compare.teacher_forced(run, g)],
        ),
        ("pretraining", "What pretraining learned", build.pretraining(run)),
    ]
    return [section for section in candidates if section[2]]


def _write_all_images(figures: list[Figure], folder: Path) -> None:
    """Replace the folder of images as a whole. They are drawn again in seconds: no wait for the disk."""
    temporary = folder.with_name(folder.name + ".tmp")
    with explained_write(folder):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        for figure in figures:
            write_images(figure, temporary)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)


def _figure_context(figure: Figure) -> dict[str, Any]:
    return {
        "name": figure.name,
        "title": figure.title,
        "caption": figure.caption,
        "legend": figure.legend,
        "panels": [{"title": panel.title, "json": panel_json(panel)} for panel in figure.panels],
    }


def _title(arms: list[Headline]) -> str:
    """The first arm's finding in one line."""
    if not arms:
        return "A base model, before any RL"
    h = arms[0]
    lost = _listed([c.name for c in h.lost])
    if h.lost and h.took_over and h.winner:
        return f"RL amplified {h.winner.name} and wiped out {lost}"
    if h.lost:
        return f"RL wiped out {lost}"
    if h.took_over and h.winner:
        return f"RL amplified {h.winner.name}; no format was wiped out"
    return "No format was wiped out and none took over"


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _arm_title(h: Headline, primary: list[Group]) -> str:
    t = h.trajectory
    return "" if len(primary) == 1 else f"{t.size} on {t.mixture}"


def _tiles(h: Headline) -> list[dict[str, str]]:
    """Key numbers of the first arm."""
    t, test = h.trajectory, h.gain
    tiles = [
        {
            "label": f"pass@1, {t.benchmark}",
            "value": f"{percent(h.before.estimate)} → {percent(h.after.estimate)}",
            "note": f"{points(test.difference.estimate)} [{points(test.difference.low, '')}, "
            f"{points(test.difference.high, '')}]" + (", inside the noise" if test.inside_noise else ""),
            "color": "",
        }
    ]
    changes = [(c, "wiped out") for c in h.lost]
    if h.winner:
        changes.append((h.winner, "took over" if h.took_over else "most frequent at the end"))
    colors = format_colors(t.formats)
    for change, what in changes:
        tiles.append(
            {
                "label": f"{change.name}: {what}",
                "value": f"{percent(change.before.estimate)} → {percent(change.after.estimate)}",
                "note": f"share of samples, now [{percent(change.after.low)}, {percent(change.after.high)}]",
                "color": colors[change.name],
            }
        )
    return tiles


def _ends(run: Run) -> list[dict[str, Any]]:
    """Teacher-forced rows of base models and of the last step of each arm."""
    last: dict[str, int] = {}
    for row in run.format_probabilities:
        last[row["arm"]] = max(last.get(row["arm"], 0), row["step"])
    return [row for row in run.format_probabilities if row["step"] == last[row["arm"]]]


def _interval_text(interval: Interval) -> str:
    if interval.estimate != interval.estimate:
        return "–"
    return f"{percent(interval.estimate)} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def _change_text(interval: Interval) -> str:
    return f"{points(interval.estimate, '')} [{points(interval.low, '')}, {points(interval.high, '')}]"


def _number_rows(run: Run, group: Group, found: list[Trajectory]) -> dict[str, Any]:
    """The table of one group: base and last step of every arm, samples and greedy."""
    rows: list[dict[str, Any]] = []
    for t in group.members:
        greedy = next(
            (
                g
                for g in found
                if g.greedy
                and (g.arm, g.size, g.mixture, g.benchmark) == (t.arm, t.size, t.mixture, t.benchmark)
            ),
            None,
        )
        ties = None
        if t.num_samples > 1:
            ties = t.mean(majority_per_problem(run, t, -1, t.num_samples)[1]).estimate
        rows.append(
            {
                "arm": t.arm,
                "step": t.steps[-1],
                "metrics": build.final_metrics(run, t, -1),
                "greedy": greedy.pass_at_1.at(-1) if greedy else None,
                "ties": ties,
                "shares": [t.share.at((-1, f)) for f in range(len(t.formats))],
                "accuracies": [t.accuracy_by_format.at((-1, f)) for f in range(len(t.formats))],
                "gain": t.gain() if not t.is_base else None,
            }
        )
    return {"title": group.title, "rows": rows, "metrics": list(rows[0]["metrics"])}


def _noise(t: Trajectory) -> str:
    """What differences this design can see, in words."""
    worst = minimum_detectable_difference(t.num_problems)
    seeds = (
        f"With {t.num_seeds} training runs (seeds) the intervals include how much runs differ; so few seeds "
        "understate it."
        if t.num_seeds > 1
        else "With one training run (seed) no interval covers how much a second run would differ."
    )
    return (
        f"With {t.num_problems} problems, a paired comparison of single answers finds differences of "
        f"{100 * worst:.0f} points or more four times out of five, whatever the models; several samples a "
        f"problem and related models make it finer (see the table). {seeds}"
    )


def _per_group(num_groups: int) -> int:
    return max(2, MAX_EXAMPLES // (2 * num_groups))
