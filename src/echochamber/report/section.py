"""Sections of the page as data: what each is called, what it needs from a run, and what it draws.

A section yields blocks: figures, tables, and fragments of HTML. The page renders
every registered section in order, so a new section is one new file.
"""

from __future__ import annotations

import pkgutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

from echochamber.analysis import Interval
from echochamber.base import InputError, Registry
from echochamber.report.figures import Figure
from echochamber.report.material import Material

Value = str | int | Interval | Markup | None
"""The content of a table cell: text (escaped), a number, an interval in percent, markup that the page made
itself, or None for what was not measured."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under named columns.

    Attributes:
        title: a line above the table, left out if empty.
        columns: their headings.
        rows: one value per column.
        summary: if not empty, the table is collapsed under this line.

    Raises:
        InputError: a row has another number of values.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Value]]
    summary: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise InputError(
                    f"the table '{self.title}': a row of {len(row)} values under {len(self.columns)} columns"
                    "; use None where nothing was measured"
                )


@dataclass(frozen=True, slots=True)
class Fragment:
    """HTML that a section writes itself: a Jinja template and its variables, which are escaped."""

    template: str
    context: Mapping[str, Any] = field(default_factory=dict)


Block = Figure | Table | Fragment
Draw = Callable[[Material], Iterable[Block]]


@dataclass(frozen=True)
class Need:
    """What a run must contain for something to be drawn.

    Attributes:
        what: the need in words.
        met: whether a run meets it.
    """

    what: str
    met: Callable[[Material], bool]


ARMS = Need("an arm", lambda m: any(group.arms for group in m.groups))
SEVERAL_ARMS = Need("two arms on one base model", lambda m: any(len(group.arms) > 1 for group in m.groups))
SEVERAL_BENCHMARKS = Need("two benchmarks", lambda m: len(m.run.benchmarks) > 1)
PRETRAINING = Need("metrics of pretraining", lambda m: _recorded(m, "pretrain"))
TRAINING = Need("metrics of RL steps", lambda m: _recorded(m, "rl"))
PROBABILITIES = Need("teacher-forced probabilities of formats", lambda m: bool(m.run.format_probabilities))
SECOND_OPINION = Need("scores by the published rules", lambda m: bool(m.run.second_opinion))


def _recorded(material: Material, stage: str) -> bool:
    return any(row.get("stage") == stage for row in material.run.metrics)


@dataclass(frozen=True)
class Section:
    """One section of the page.

    Attributes:
        key: its anchor.
        heading: the heading above the section.
        short: its name in the navigation; empty for no link.
        order: its place on the page, smallest first.
    """

    key: str
    heading: str
    short: str
    order: float


@dataclass(frozen=True)
class Drawing:
    """What one function draws in a section.

    Attributes:
        section: key of the section.
        order: place among the drawings of the section; the section's own function has 0.
        needs: what a run must contain for the function to be called; all of it is required.
        draw: yields the blocks.
    """

    section: str
    order: float
    needs: tuple[Need, ...]
    draw: Draw


_FOLDER = Path(__file__).parent / "sections"
_MODULES = tuple(f"{__package__}.sections.{found.name}" for found in pkgutil.iter_modules([str(_FOLDER)]))
SECTIONS: Registry[Section] = Registry("report section", _MODULES)
DRAWINGS: Registry[Drawing] = Registry("report drawing", _MODULES)


def register_section(
    key: str, heading: str, *, short: str, order: float, needs: Sequence[Need] = ()
) -> Callable[[Draw], Draw]:
    """Decorator: add a section, drawn by the function below. The arguments are those of `Section`.

    A section whose functions yield nothing for a run is not shown.

    Raises:
        InputError: the key is taken.
    """
    SECTIONS.register(key, Section(key, heading, short, order))
    return register_figure(key, order=0.0, needs=needs)


def register_figure(
    section: str, *, order: float = 1.0, needs: Sequence[Need] = ()
) -> Callable[[Draw], Draw]:
    """Decorator: let the function below draw in a section that may be registered elsewhere.

    The arguments are those of `Drawing`; the function may yield tables and fragments as well as figures.

    Raises:
        InputError: a function of that name already draws in that section.
    """

    def register(draw: Draw) -> Draw:
        name = f"{section}: {getattr(draw, '__qualname__', 'unnamed')}"
        DRAWINGS.register(name, Drawing(section, order, tuple(needs), draw))
        return draw

    return register


def check_drawings() -> None:
    """Check that every drawing belongs to a section that exists.

    Raises:
        InputError: a figure is registered for a section that does not exist.
    """
    for drawing in map(DRAWINGS.get, DRAWINGS):
        SECTIONS.get(drawing.section)


def drawn(material: Material) -> list[tuple[Section, list[Block]]]:
    """Every section that has something to show, in order, with its blocks.

    Raises:
        InputError: a figure is registered for a section that does not exist, or a function gave no block.
    """
    check_drawings()
    parts: dict[str, list[Drawing]] = defaultdict(list)
    for drawing in map(DRAWINGS.get, DRAWINGS):
        parts[drawing.section].append(drawing)
    found = []
    for section in sorted(map(SECTIONS.get, SECTIONS), key=lambda section: section.order):
        blocks = [
            block
            for drawing in sorted(parts[section.key], key=lambda drawing: drawing.order)
            if all(need.met(material) for need in drawing.needs)
            for block in _blocks(drawing, material)
        ]
        if blocks:
            found.append((section, blocks))
    return found


def _blocks(drawing: Drawing, material: Material) -> list[Block]:
    found = drawing.draw(material)
    blocks = list(found) if isinstance(found, Iterable) else [found]
    for block in blocks:
        if not isinstance(block, Figure | Table | Fragment):
            raise InputError(
                f"a function of the section '{drawing.section}' gave {str(block)[:80]!r}; expected figures, "
                "tables and fragments"
            )
    return blocks
