"""docs/architecture.md says where things are; what it says is compared with the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import drawing

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "echochamber"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

# What a reader opens to understand one GRPO step: the update alone, and with the sampler.
UPDATE = (5, 900)
WITH_SAMPLER = (10, 1785)
MOST_FILES_OF_STUDY = 22


def part(start: str, end: str) -> str:
    return PAGE.split(start, 1)[1].split(end, 1)[0]


def step_files() -> list[Path]:
    table = part("## The journey of an advantage", "## Words")
    return [SOURCE / name for name in re.findall(r"^\| \d+ \| `([^`]+)`", table, re.MULTILINE)]


def lines_of(paths: list[Path]) -> int:
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)


def test_the_drawing_is_what_the_imports_say() -> None:
    drawn = part("<!-- rooms -->\n", "\n<!-- end of rooms -->")
    assert drawn == drawing.drawing(), "print it with: python tests/drawing.py"


def test_no_circle_of_imports_inside_or_between_rooms() -> None:
    graph = {
        module: {other for other in others if other.count(".") > 1}
        for module, others in drawing.import_graph().items()
        if module.count(".") > 1
    }
    assert drawing.circles(graph) == []
    assert drawing.circles({"a.b": {"a.c"}, "a.c": {"a.b"}, "a.d": {"a.b"}}) == [["a.b", "a.c"]]


def test_every_room_is_told_of() -> None:
    told = re.findall(r"^\| `(\w+)` \|", part("## The rooms", "## The journey of a study"), re.MULTILINE)
    rooms = sorted(path.parent.name for path in SOURCE.glob("*/__init__.py"))
    assert sorted(told) == rooms


def test_every_file_that_is_named_is_there() -> None:
    named = set(re.findall(r"`((?:\w+/)+\w+\.(?:py|md|yaml))`", PAGE))
    assert len(named) > 30
    missing = [name for name in named if not any((home / name).is_file() for home in (SOURCE, ROOT))]
    assert missing == []


@pytest.mark.parametrize(("count", "most"), [(5, UPDATE), (10, WITH_SAMPLER)])
def test_a_step_is_read_in_few_files(count: int, most: tuple[int, int]) -> None:
    files = step_files()[:count]
    assert len(files) == most[0]
    assert lines_of(files) <= most[1]
    assert f"{most[1]:,}" in part("## The journey of an advantage", "| 1 |")


def test_study_is_shallow() -> None:
    files = list((SOURCE / "study").rglob("*.py"))
    assert len(files) <= MOST_FILES_OF_STUDY


def classes() -> set[str]:
    found: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        found |= set(re.findall(r"^class (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE))
    return found


def test_words_that_are_classes_exist() -> None:
    named = set(re.findall(r"\(`([A-Z]\w+)`\)", part("## Words", "## Where to add what")))
    assert len(named) >= 10
    assert named <= classes()


def test_what_registers_something_is_at_the_top_level() -> None:
    import echochamber

    told = part("## Where to add what", "<!-- end of adding -->")
    named = set(re.findall(r"`@?(register_\w+)", told))
    assert named == {name for name in echochamber.__all__ if name.startswith("register_")}
    assert [name for name in sorted(named) if not callable(getattr(echochamber, name, None))] == []
