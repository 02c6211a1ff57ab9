"""Put figures, examples and numbers together into one HTML file."""

from __future__ import annotations

import json
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

from echochamber.analysis import (
    NOT_A_FORMAT,
    Control,
    Run,
    Trajectory,
    compare_arms,
    controls,
    endpoint_results,
    findings,
    headline,
    majority_per_problem,
    percent,
    points,
    showing_lock,
    trajectories,
)
from echochamber.base import explained_write, write_file
from echochamber.report import build, compare, setup
from echochamber.report.build import Group
from echochamber.report.claims import endpoint_rows, findings_by_source
from echochamber.report.examples import examples
from echochamber.report.figures import Figure
from echochamber.report.images import write_images
from echochamber.report.opening import openings, tiles, title
from echochamber.report.palette import format_colors
from echochamber.report.plotly import panel_json
from echochamber.report.texts import (
    change_text,
    difference_badge,
    interval_text,
    p_text,
    shown,
    verdict_class,
)
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
    every = build.groups(found)
    first = every[0].members[0]
    primary = [group for group in every if group.benchmark == every[0].benchmark]
    theories = [Theory(run, group) for group in primary]
    sections = _sections(run, every, primary, theories)
    if images:
        _write_all_images([figure for _, _, some in sections for figure in some], run.folder / "figures")
    arms = openings(run, primary, found)
    page = _template().render(
        name=run.summary["study"],
        description=run.study.description,
        title=title(arms),
        main=arms[0].headline if arms else None,
        tiles=tiles(arms[0]) if arms else [],
        arms=arms,
        control_names={control.name for control in controls(run)},
        control_lines=[_control_line(control, primary) for control in controls(run)],
        sections=[
            {
                "id": key,
                "title": heading,
                "short": SHORT[key],
                "figures": [_figure_context(figure) for figure in some],
            }
            for key, heading, some in sections
        ],
        examples=[
            {"title": group.title, "items": examples(run, group, num_problems=_per_group(len(primary)))}
            for group in primary
        ],
        colors=format_colors(first.formats),
        numbers=[_number_rows(run, group) for group in every],
        formats=first.formats,
        no_formats=NOT_A_FORMAT,
        endpoints=endpoint_rows(endpoint_results(run, found)),
        pairs=[{"title": g.title, "rows": _pair_rows(g)} for g in every if len(g.arms) > 1],
        forecasts=[t.table() for t in theories if t.arms],
        probabilities=_ends(run),
        alarms=run.alarms,
        opinion=run.second_opinion,
        num_seeds=first.num_seeds,
        findings=findings_by_source(findings(run)) if arms else [],
        facts=setup.facts(run),
        environment=setup.flat(run.environment),
        seconds=[(title, f"{value:,.1f}") for title, value in run.summary.get("seconds", {}).items()],
        study_text=run.study_text,
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
        autoescape=True, finalize=shown, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "percent": percent,
        "points": points,
        "interval": interval_text,
        "change": change_text,
        "p_value": p_text,
        "verdict_class": verdict_class,
        "badge": difference_badge,
        "embedded": embedded_json,
    }
    return environment.from_string(_asset("report.html.j2"))


def _asset(name: str) -> str:
    return (files("echochamber.report") / "assets" / name).read_text(encoding="utf-8")


def embedded_json(value: Any) -> str:
    """JSON that may stand inside a script element whatever text it holds."""
    text = json.dumps(shown(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
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


def _ends(run: Run) -> list[dict[str, Any]]:
    """Teacher-forced rows of base models and of the last step of each arm."""
    last: dict[str, int] = {}
    for row in run.format_probabilities:
        last[row["arm"]] = max(last.get(row["arm"], 0), row["step"])
    return [row for row in run.format_probabilities if row["step"] == last[row["arm"]]]


def _number_rows(run: Run, group: Group) -> dict[str, Any]:
    """The table of one group: base and last step of every arm, samples and greedy."""
    rows: list[dict[str, Any]] = []
    for t in group.members:
        greedy = group.greedy.get(t.arm)
        ties = None
        if t.num_samples > 1:
            ties = t.mean(majority_per_problem(run, t, -1, t.num_samples)[1]).estimate
        rows.append(
            {
                "arm": t.arm,
                "step": t.steps[-1],
                "metrics": build.final_metrics(run, t, -1),
                "greedy": greedy.pass_at_1.at(-1) if greedy else None,
                "greedy_gain": greedy.gain() if greedy and not t.is_base else None,
                "ties": ties,
                "by_format": [_by_format(t, t.arm), *([_by_format(greedy, "greedy")] if greedy else [])],
                "gain": t.gain() if not t.is_base else None,
            }
        )
    return {"title": group.title, "rows": rows, "metrics": list(rows[0]["metrics"])}


def _by_format(t: Trajectory, label: str) -> dict[str, Any]:
    places = [(-1, f) for f in range(len(t.formats))]
    return {
        "label": label,
        "shares": [t.share.at(place) for place in places],
        "accuracies": [t.accuracy_by_format.at(place) for place in places],
    }


def _control_line(control: Control, primary: list[Group]) -> str:
    """What a control is the twin of and how far the two ended apart, sampled and greedy."""
    text = control.sentence()
    if not control.matched:
        return text
    for group in primary:
        pair = [t for t in group.arms if t.arm in (control.arm, control.name)]
        for c in compare_arms(pair):
            greedy = compare_arms([group.greedy[t.arm] for t in pair if t.arm in group.greedy])
            change = change_text(c.test.difference)
            text += f" {group.title}: {c.first} minus {c.second} {change} points of pass@1"
            text += f", decoded greedily {change_text(greedy[0].test.difference)}." if greedy else "."
    return text


def _pair_rows(group: Group) -> list[dict[str, Any]]:
    """Every pair of arms: the sampled difference with its corrected test, and the greedy one beside it."""
    greedy = {
        (c.first, c.second): c.test
        for c in compare_arms([group.greedy[t.arm] for t in group.arms if t.arm in group.greedy])
    }
    return [
        {
            "first": c.first,
            "second": c.second,
            "test": c.test,
            "badge": difference_badge(c.test, inside_noise=c.inside_noise),
            "adjusted_p": c.adjusted_p,
            "greedy": greedy.get((c.first, c.second)),
        }
        for c in compare_arms(group.arms)
    ]


def _per_group(num_groups: int) -> int:
    return max(2, MAX_EXAMPLES // (2 * num_groups))
