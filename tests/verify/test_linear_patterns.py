"""Every pattern of the package takes time linear in its text: none backtracks over what somebody else wrote.

Patterns are found, not listed: module-level objects by importing every module,
inline ones by reading the source. Each is run on texts made from its own parse
tree (every repetition pumped, with a tail that fails) and on runs of common
signs. The time of four times the text must not be much more than four times
the time.
"""

import ast
import contextlib
import functools
import importlib
import itertools
import pkgutil
import re
import re._compiler as compiler  # type: ignore[import-not-found]
import re._constants as constants  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import echochamber

ROOT = Path(echochamber.__file__).parent
N = 10_000
TAILS = ("", "\x00", "\n!")
COMMON = (
    *"1a \t\n\\{}()[<>`*#$=,.-:'\"é½", "1,", "1 ", "1.", "1/", "1e", "a ", "a. ", "a, ", "a^2 ", "_{", "^{",
    "** ", "(1)", "\\frac", "\\text{", "\\boxed{", "\\,", "<<", "<<1=", "a=", "x_1=", "#### ", "#### 7\n",
    "A: 7\n", "1 + 2 = 3, ", "def f(", "def f()->", "import a,", "class a", "```", "```a\n", "\ud800",
    "<llm-code>", "words, and more words; ", "dollars in total every single day at the farmers' market ",
)  # fmt: skip
REPEATS = (constants.MAX_REPEAT, constants.MIN_REPEAT, constants.POSSESSIVE_REPEAT)
FAVORED = (" ", "a", "0", "-", "")


@dataclass(frozen=True)
class Found:
    """A pattern, where it is, and the functions that use it."""

    place: str
    pattern: re.Pattern[str]
    uses: frozenset[str]


def modules() -> Iterator[Any]:
    for info in pkgutil.walk_packages([str(ROOT)], "echochamber."):
        if not info.name.endswith("__main__"):
            try:
                yield importlib.import_module(info.name)
            except ImportError as error:
                assert "echochamber" not in str(error), error  # an optional library


def patterns_in(value: Any, depth: int = 0) -> Iterator[re.Pattern[str]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, dict) and depth < 4:
        for item in (*value, *value.values()):
            yield from patterns_in(item, depth + 1)
    elif isinstance(value, (list, tuple, set, frozenset)) and depth < 4:
        for item in value:
            yield from patterns_in(item, depth + 1)


def uses_by_name() -> dict[str, set[str]]:
    """The methods called on each name anywhere; `finditer` for a name that is handed around."""
    uses: dict[str, set[str]] = {}
    for path in ROOT.rglob("*.py"):
        tree = ast.parse(path.read_text())
        attributes = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                owner = node.value.value if isinstance(node.value, ast.Subscript) else node.value
                if isinstance(owner, ast.Name):
                    attributes.add(id(owner))
                    uses.setdefault(owner.id, set()).add(node.attr)
            elif isinstance(node, ast.Compare):
                attributes |= {id(other) for other in node.comparators}
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and id(node) not in attributes:
                uses.setdefault(node.id, set()).add("finditer")
    return uses


# Settings of a study file that hold a pattern: what their users write there is theirs.
USERS_OWN = ("answer_pattern",)


def module_patterns() -> list[Found]:
    uses = uses_by_name()
    found: dict[re.Pattern[str], Found] = {}
    for module in modules():
        for name, value in vars(module).items():
            for pattern in patterns_in(value):
                if pattern not in found:
                    uses_of = frozenset(uses.get(name, ()))
                    found[pattern] = Found(f"{module.__name__}.{name}", pattern, uses_of)
    return list(found.values())


def inline_patterns() -> list[Found]:
    """Patterns written where they are used: `re.sub(r"...", ...)`. Only a literal can be looked at."""
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        place = path.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(path.read_text())):
            if not (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "re"
                and node.func.attr not in ("compile", "escape", "purge")
            ):
                continue
            source = node.args[0]
            if isinstance(source, ast.Constant):
                found.append(
                    Found(f"{place}:{node.lineno}", re.compile(source.value), frozenset((node.func.attr,)))
                )
            elif not (isinstance(source, ast.Attribute) and source.attr in USERS_OWN):
                assert isinstance(source, ast.Name), f"{place}:{node.lineno}: make the pattern a constant"
    return found


ALL = [*module_patterns(), *inline_patterns()]


def member(items: Any, favored: str) -> str:
    """A character of a class, the favored one if it belongs to it."""
    compiled = parser.SubPattern(parser.State(), [(constants.IN, items)])
    matches = compiler.compile(compiled).match
    for sign in (favored, *" a0A-_.,:;=+*/()[]{}<>\\\"'$%#|~^!?&@`\n\tézЖ½√²×\u200f"):
        if sign and matches(sign):
            return sign
    return chr(next((value for op, value in items if op is constants.LITERAL), 97))


def contains(tree: Any, pumped: int) -> bool:
    return any(id(value) == pumped for _, value in repetitions(tree))


def children(op: Any, value: Any) -> list[Any]:
    if op in REPEATS:
        return [value[2]]
    if op is constants.SUBPATTERN:
        return [value[3]]
    if op is constants.BRANCH:
        return list(value[1])
    if op is constants.ATOMIC_GROUP:
        return [value]
    if op is constants.ASSERT:
        return [value[1]]
    return []


def repetitions(tree: Any) -> Iterator[tuple[Any, Any]]:
    for op, value in tree:
        if op in REPEATS:
            yield op, value
        for child in children(op, value):
            yield from repetitions(child)


class Enough(Exception):
    """The pumped repetition is written: the text may end here."""


def written(tree: Any, pumped: int, times: int, favored: str, *, cut: bool = False) -> str:
    """A text near to what the tree matches, with one repetition many times; `cut` ends it there."""
    parts: list[str] = []
    with contextlib.suppress(Enough):
        write(tree, pumped, times, favored, cut, parts)
    return "".join(parts)


def write(tree: Any, pumped: int, times: int, favored: str, cut: bool, parts: list[str]) -> None:
    for op, value in tree:
        if op is constants.LITERAL:
            parts.append(chr(value))
        elif op in (constants.NOT_LITERAL, constants.ANY):
            parts.append(favored or "a")
        elif op is constants.IN:
            parts.append(member(value, favored))
        elif op is constants.BRANCH:
            options = [option for option in value[1] if contains(option, pumped)] or value[1]
            write(options[0], pumped, times, favored, cut, parts)
        elif op in REPEATS and id(value) == pumped:
            one = written(value[2], 0, 1, favored)
            parts.append(one * (times // max(1, len(one))))
            if cut:
                raise Enough
        elif op in REPEATS:
            for _ in range(max(1, int(value[0]))):
                write(value[2], pumped, times, favored, cut, parts)
        elif op is not constants.ASSERT:
            for child in children(op, value):
                write(child, pumped, times, favored, cut, parts)


def near_misses(pattern: re.Pattern[str]) -> Iterator[Callable[[int], str]]:
    """Texts by their length: what the pattern almost matches, and runs of common signs."""
    tree = parser.parse(pattern.pattern, pattern.flags)
    pumps = [id(value) for _, value in repetitions(tree)]
    for favored in FAVORED:
        for pumped in pumps:
            for tail, cut in itertools.product(TAILS, (False, True)):
                text = functools.partial(written, tree, pumped, favored=favored, cut=cut)
                yield lambda n, text=text, tail=tail: text(n) + tail  # type: ignore[misc]
        # The whole many times, and each of its beginnings: an end that never comes is searched from each.
        begun = [written(tree, pumped, 3, favored, cut=True) for pumped in pumps]
        for piece in {written(tree, 0, 1, favored), *begun} - {""}:
            yield lambda n, piece=piece: (piece * (n // len(piece) + 1))[:n] + "\x00"  # type: ignore[misc]
    for sign in COMMON:
        yield lambda n, s=sign: s * (n // len(s)) + "\x00"  # type: ignore[misc]


def run(pattern: re.Pattern[str], use: str, text: str) -> None:
    if use in ("match", "fullmatch"):
        getattr(pattern, use)(text)
    else:
        for _ in pattern.finditer(text):
            pass


def seconds(pattern: re.Pattern[str], use: str, text: str, times: int) -> float:
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        run(pattern, use, text)
        best = min(best, time.perf_counter() - start)
    return best


def is_linear(pattern: re.Pattern[str], use: str, text: Callable[[int], str]) -> bool:
    """Whether the time grows with the text; short times are not looked at twice."""
    if seconds(pattern, use, text(N), 1) < 0.004:
        return True
    short = seconds(pattern, use, text(N // 4), 5)
    return any(seconds(pattern, use, text(N), 3) < 8 * short + 0.001 for _ in range(3))


class Hangs(Exception):
    pass


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raise `Hangs` if what is done within takes longer: the pattern engine looks at signals as it works."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise Hangs

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def slow_text(found: Found) -> str:
    """The beginning of a text on which the pattern is not linear, empty if there is none."""
    uses = {use if use in ("match", "fullmatch") else "finditer" for use in found.uses - {"pattern"}}
    for use in sorted(uses or {"finditer"}):
        for text in near_misses(found.pattern):
            try:
                with deadline(1.5):
                    linear = is_linear(found.pattern, use, text)
            except Hangs:
                return f"{use} does not end: {text(60)!r}"
            if not linear:
                return f"{use}: {text(60)!r}"
    return ""


@pytest.mark.parametrize("found", ALL, ids=[found.place for found in ALL])
def test_every_pattern_is_linear(found: Found) -> None:
    assert slow_text(found) == ""


@pytest.mark.parametrize(
    "source",
    [
        r"(?:[a-z]+\.?(?: ?/ ?| )?)+$",
        r"[0-9]+x",
        r"\s+$",
        r"((?:\d[\d,.]*|[+\s])+)=",
        r"^class[ ]+\w+.*:",
        r"(a|a)*b",
        r"```[ ]*\w*[^\n`]*\n",
        r"(?s)<code>(.*?)</code>",
    ],
)
def test_what_backtracks_is_found(source: str) -> None:
    assert slow_text(Found("", re.compile(source), frozenset(("search",)))) != ""


def test_the_package_has_the_patterns_that_it_is_searched_for() -> None:
    places = {found.place for found in ALL}
    assert {"echochamber.formats.boxes._TOKEN", "echochamber.verify.answers._PLAIN"} <= places
    assert any("math_answers._COMMANDS" in place for place in places)
    assert len(places) > 60
