"""Blocks of a section as HTML, and the templates and assets they are made from."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from echochamber.analysis import Interval, percent, points
from echochamber.report.figures import Figure
from echochamber.report.plotly import panel_json
from echochamber.report.section import Block, Table, Value
from echochamber.report.texts import change_text, interval_text, p_text, ruling_class, shown


@cache
def environment() -> Environment:
    """The environment of all templates: it escapes what it prints and removes invisible characters."""
    made = Environment(
        autoescape=True, finalize=shown, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters |= {
        "percent": percent,
        "points": points,
        "interval": interval_text,
        "change": change_text,
        "p_value": p_text,
        "ruling_class": ruling_class,
        "value": value_text,
        "embedded": embedded_json,
        "asset": asset,
    }
    return made


def asset(name: str) -> str:
    """The text of a file in `assets/`."""
    return (files("echochamber.report") / "assets" / name).read_text(encoding="utf-8")


def block_html(block: Block) -> Markup:
    """One block of a section."""
    if isinstance(block, Figure):
        panels = [{"title": panel.title, "json": panel_json(panel)} for panel in block.panels]
        return _filled(asset("figure.html.j2"), {"figure": block, "panels": panels})
    if isinstance(block, Table):
        return _filled(asset("table.html.j2"), {"table": block})
    return _filled(block.template, dict(block.context))


def _filled(template: str, context: dict[str, Any]) -> Markup:
    return Markup(environment().from_string(template).render(context))


def value_text(value: Value) -> str | int:
    """A value of a table as the page writes it; a dash where nothing was measured."""
    if value is None:
        return "–"
    return interval_text(value) if isinstance(value, Interval) else value


def embedded_json(value: Any) -> Markup:
    """JSON that is safe inside a script element, whatever text it holds."""
    text = json.dumps(shown(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))
