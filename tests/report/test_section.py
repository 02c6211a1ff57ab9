"""A section and a figure are one file each: registered from outside, they appear on the page."""

from __future__ import annotations

import copy
import html
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from echochamber.base import InputError
from echochamber.report import Fragment, Material, Need, Table, register_figure, register_section, render
from echochamber.report import section as registry
from echochamber.report.figures import Figure
from echochamber.report.section import ARMS, DRAWINGS, SECTIONS, drawn

HOSTILE = "<script>window.pwned = 1</script><b onclick=x> \x1b[2J\u202e {{ 7 * 7 }}"

OWN = '''
"""How long the answers are: a section with a figure, a table and a paragraph, and a figure elsewhere."""

from echochamber import register_figure, register_section
from echochamber.report import Figure, Fragment, Panel, Series, Table

HOSTILE = {hostile!r}


@register_section("lengths", "How long the answers are " + HOSTILE, short="Lengths", order=45)
def lengths(material):
    mean = material.run.query("SELECT avg(num_tokens) AS tokens FROM completions")["tokens"][0].as_py()
    yield Figure(
        "lengths", "Tokens " + HOSTILE, "Caption " + HOSTILE,
        (Panel("panel " + HOSTILE, (Series("s " + HOSTILE, (0.0, 1.0), (mean, mean), "#123456"),)),),
    )
    yield Table("Table " + HOSTILE, ("what", "mean " + HOSTILE), [("tokens " + HOSTILE, f"{{mean:.1f}}")])
    yield Fragment("<p>{{{{ text }}}}</p>", {{"text": "Words " + HOSTILE}})


@register_figure("accuracy")
def more(material):
    series = Series("s", (0.0,), (0.5,), "#123456")
    yield Figure("more", "One more about accuracy", "", (Panel("p", (series,)),))
'''


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registries that forget what a test adds."""
    for name, entries in (("SECTIONS", SECTIONS), ("DRAWINGS", DRAWINGS)):
        assert len(entries) > 10
        own: Any = copy.copy(entries)
        own._entries = dict(entries._entries)
        monkeypatch.setattr(registry, name, own)


@pytest.mark.usefixtures("own_registry")
def test_a_section_and_a_figure_from_one_file_of_a_user(material: Material, tmp_path: Path) -> None:
    path = tmp_path / "own_section.py"
    path.write_text(OWN.format(hostile=HOSTILE), encoding="utf-8")
    _import(path)

    text = render(material.run.folder, images=False).read_text(encoding="utf-8")
    bare = re.sub(r"(?s)<(script|style)>.*?</\1>", "", text)
    navigation = bare[bare.index("<nav>") : bare.index("</nav>")]
    assert '<a href="#lengths">Lengths</a>' in navigation
    # After the arms (40), before the forecast (50), in navigation and on the page.
    for where in (navigation, bare):
        places = [where.index(f'{key}"') for key in ("arms", "lengths", "forecast")]
        assert places == sorted(places)
    section = bare[bare.index('<section id="lengths">') :]
    section = section[: section.index("</section>")]
    for expected in (
        "How long the answers are",
        "Tokens",
        "Caption",
        "panel",
        "Table",
        "mean",
        "tokens",
        "Words",
    ):
        assert re.search(rf"{expected} &lt;script&gt;", section), expected
    assert "<script>" not in section and "<b onclick" not in section
    assert "\x1b" not in section and "\u202e" not in section and "{{ 7 * 7 }}" in section
    accuracy = bare[bare.index('<section id="accuracy">') : bare.index('<section id="arms">')]
    assert "One more about accuracy" in accuracy
    assert accuracy.index("Accuracy overall") < accuracy.index("One more about accuracy")


@pytest.mark.usefixtures("own_registry")
def test_the_example_of_a_section_is_drawn(material: Material) -> None:
    _import(Path(__file__).parents[2] / "examples" / "answer_lengths.py")
    [blocks] = [blocks for section, blocks in drawn(material) if section.key == "lengths"]
    figure, table = blocks
    assert isinstance(figure, Figure) and isinstance(table, Table)
    tokens = material.run.query(
        "SELECT num_tokens FROM completions WHERE arm = 'grpo' AND step = 40 AND NOT greedy"
    )["num_tokens"].to_pylist()
    line = next(series for series in figure.panels[0].series if series.name == "grpo")
    assert line.x[-1] == 40.0 and line.y[-1] == pytest.approx(sum(tokens) / len(tokens))
    assert ("grpo", f"{sum(tokens) / len(tokens):.1f}") in table.rows


def _import(path: Path) -> None:
    """Import a file as `modules:` of a study does."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


@pytest.mark.usefixtures("own_registry")
def test_images_are_written_for_a_figure_of_any_section(bare: Material) -> None:
    @register_figure("setup")
    def drawing(material: Material) -> list[Figure]:
        from echochamber.report import Panel, Series

        return [Figure("own-figure", "t", "c", (Panel("p", (Series("s", (0.0,), (0.5,), "#123456"),)),))]

    render(bare.run.folder)
    assert {"own-figure.png", "own-figure.svg"} <= {p.name for p in (bare.run.folder / "figures").iterdir()}


@pytest.mark.usefixtures("own_registry")
def test_needs_order_and_emptiness(material: Material, bare: Material) -> None:
    @register_section("first", "First", short="", order=-1.0, needs=[ARMS])
    def first(material: Material) -> list[Table]:
        return [Table("own", ("a",), [(1,)])]

    @register_figure("first", order=-1.0)
    def before(material: Material) -> list[Fragment]:
        return [Fragment("<p>before</p>")]

    @register_figure("first", needs=[Need("the impossible", lambda material: False)])
    def never(material: Material) -> list[Fragment]:
        raise AssertionError

    @register_section("empty", "Empty", short="Empty", order=-2.0)
    def empty(material: Material) -> list[Table]:
        return []

    section, blocks = drawn(material)[0]
    assert section.key == "first"
    assert [type(block) for block in blocks] == [Fragment, Table]
    section, blocks = drawn(bare)[0]
    assert section.key == "first" and [type(block) for block in blocks] == [Fragment]
    page = html.unescape(render(material.run.folder, images=False).read_text(encoding="utf-8"))
    assert '<a href="#first">' not in page and '<section id="first">' in page  # no short name, no link


@pytest.mark.usefixtures("own_registry")
def test_mistakes_are_named(bare: Material) -> None:
    def nothing(material: Material) -> list[Table]:
        return []

    with pytest.raises(InputError, match="report section 'shares' is registered twice"):
        register_section("shares", "Mine", short="Mine", order=1)(nothing)
    register_figure("sharse")(nothing)
    with pytest.raises(InputError, match=r"unknown report section 'sharse'.*Did you mean 'shares'"):
        drawn(bare)


@pytest.mark.usefixtures("own_registry")
@pytest.mark.parametrize("given", [None, ["words"], [Fragment]])
def test_a_function_that_gives_no_block_is_named(bare: Material, given: Any) -> None:
    register_figure("setup")(lambda material: given)
    with pytest.raises(InputError, match="a function of the section 'setup' gave .*; expected figures"):
        drawn(bare)


def test_a_row_of_a_table_has_a_value_for_each_column() -> None:
    with pytest.raises(InputError, match="the table 'own': a row of 1 values under 2 columns"):
        Table("own", ("a", "b"), [(1, None), (2,)])


def test_a_figure_without_a_section_stops_a_run_before_any_work(tmp_path: Path) -> None:
    """In a process of its own, since what it registers stays."""
    smoke = (Path(__file__).parents[2] / "studies" / "smoke.yaml").read_text(encoding="utf-8")
    (tmp_path / "study.yaml").write_text(f"{smoke}\nmodules: [mine.py]\n")
    (tmp_path / "mine.py").write_text(
        "import echochamber\nechochamber.register_figure('sharse')(lambda material: [])\n"
    )
    command = [sys.executable, "-m", "echochamber", "run", "study.yaml", "--dry-run", "--runs", "runs"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: unknown report section 'sharse': expected one of")


def test_sections_stand_in_the_order_of_the_page(material: Material, bare: Material) -> None:
    assert [section.key for section, _ in drawn(material)] == [
        "endpoints", "shares", "accuracy", "arms", "forecast", "before-after", "training", "probabilities",
        "pretraining", "statements", "completions", "numbers", "published", "setup",
    ]  # fmt: skip
    assert [section.key for section, _ in drawn(bare)] == [
        "before-after", "pretraining", "completions", "numbers", "setup",
    ]  # fmt: skip


def test_every_section_of_ours_is_one_module_and_names_are_unique(material: Material) -> None:
    shown = [section for section, _ in drawn(material)]
    assert len({section.order for section in shown}) == len(shown)
    figures = [block.name for _, blocks in drawn(material) for block in blocks if isinstance(block, Figure)]
    assert len(figures) == len(set(figures))
