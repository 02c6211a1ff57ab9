"""Blocks as HTML: what was recorded is text there, never markup."""

from __future__ import annotations

import html
import json
import re

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from echochamber.analysis import Interval
from echochamber.report.figures import Figure, Panel, Series
from echochamber.report.html import block_html, embedded_json, value_text
from echochamber.report.section import Fragment, Table

HOSTILE = "</script><b>\x1b[2J\u2028&"


def test_a_table() -> None:
    table = Table(
        "T", ("arm", "pass@1", "p"), [("a<b", Interval(0.5, 0.4, 0.625), 3), (Markup("<i>x</i>"), None, "")]
    )
    text = re.sub(r">\s+<", "><", block_html(table))
    assert text.startswith("<h3>T</h3>") and "<details>" not in text
    assert "<thead><tr><th>arm</th><th>pass@1</th><th>p</th></tr></thead>" in text
    assert "<tr><td>a&lt;b</td><td>50\u00a0% [40.0, 62.5]</td><td>3</td></tr>" in text
    assert "<tr><td><i>x</i></td><td>–</td><td></td></tr>" in text


def test_a_table_may_be_collapsed() -> None:
    text = block_html(Table("", ("a",), [], summary="All <rows>"))
    assert (
        "<details><summary>All &lt;rows&gt;</summary>" in text and "</details>" in text and "<h3>" not in text
    )


def test_a_figure_has_its_legend_caption_and_data() -> None:
    series = (Series(f"s{HOSTILE}", (0.0,), (0.5,), "@ink", dash="dot"),)
    text = block_html(Figure("name", f"t{HOSTILE}", f"c{HOSTILE}", (Panel(f"p{HOSTILE}", series),)))
    assert "<b>" not in text and "\x1b" not in text
    assert 'class="line dot" style="--mark: var(--ink)"' in text and "figures/name.png, .svg" in text
    [data] = re.findall(r'(?s)<script type="application/json">(.*?)</script>', text)
    assert json.loads(data)["data"][0]["name"] == r"s</script><b>\x1b[2J\u2028&"


def test_a_fragment_prints_text_and_refuses_what_it_was_not_given() -> None:
    assert block_html(Fragment("<p>{{ a }}</p>", {"a": HOSTILE})) == (
        r"<p>&lt;/script&gt;&lt;b&gt;\x1b[2J\u2028&amp;</p>"
    )
    with pytest.raises(UndefinedError):
        block_html(Fragment("{{ b }}", {"a": 1}))


def test_values_of_tables() -> None:
    assert [value_text(v) for v in (None, 3, "x", Interval(0.5, float("nan"), float("nan")))] == [
        "–", 3, "x", "50\u00a0%",
    ]  # fmt: skip


def test_json_cannot_end_the_script_it_stands_in() -> None:
    text = embedded_json({"a": [HOSTILE, 0.5, None]})
    assert "<" not in text and "\u2028" not in text
    assert json.loads(html.unescape(text))["a"][1:] == [0.5, None]
    with pytest.raises(ValueError, match="JSON"):
        embedded_json({"a": float("nan")})
