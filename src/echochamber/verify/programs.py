"""From the code found in a completion to one text that can be run, and the tier that may run it."""

from __future__ import annotations

import ast
import re
import textwrap
from dataclasses import dataclass
from functools import lru_cache

from echochamber.formats import Program
from echochamber.formats.code import ParseError, parse_python
from echochamber.verify.allowlist import is_plain, smallest_tier

# A function with one of these names is meant to be called, wherever it is defined.
_ENTRY_NAMES = ("simple_math_problem", "solution", "solve")


_FUNCTION_HEADER = re.compile(r"def ([A-Za-z]\w*)\(\)(?: *-> *[A-Za-z]\w*)?: *\n")
_LINE_AT_MARGIN = re.compile(r"\n[^ \n]")
# Where parsers differ, or where a text may be more than a program: f-strings, numbers of many digits,
# back-ticks, signs outside of plain ASCII, operators before operators, deep indentation.
_UNSURE = re.compile(r"[^\n -~]|`|[fF][rR]?['\"]|[rR][fF]['\"]|[\d_]{300}|[-+~][-+~]|not\s+not| {40}")
# Nesting that every parser accepts, and lengths at which none runs out of stack.
_MAX_BRACKETS, _MAX_CHARACTERS = 80, 2000


@dataclass(frozen=True, slots=True)
class Prepared:
    """A program ready to run.

    Attributes:
        source: one Python text whose last expression is the answer; empty if it cannot be run.
        tier: the lowest tier that can run it.
        status: empty if it can be run, else `syntax_error`.
        is_tagged: it comes from tagged blocks, whose solution may also state its answer in the text.
    """

    source: str
    tier: int
    status: str = ""
    is_tagged: bool = False


@lru_cache(maxsize=8192)
def prepare(program: Program) -> Prepared:
    """Check a program's syntax, choose its tier and add the call of its function."""
    if program.calls_function:
        source = program.sources[0] if len(program.sources) == 1 else "\n".join(program.sources)
    else:
        source = "\n".join(dedented(part) for part in program.sources)
    is_tagged = not program.calls_function
    try:
        tree = parse_python(source)
    except ParseError:
        return Prepared("", 0, "syntax_error", is_tagged)
    if not tree.body:
        return Prepared("", 0, "syntax_error", is_tagged)
    if program.calls_function:
        entry = entry_function(tree)
        if entry is not None:
            # `total = total()` has already called the function: its name now holds the answer.
            call = entry if _is_assigned(tree, entry) else f"{entry}()"
            source = f"{source.rstrip()}\n\n{call}"
    return Prepared(source, 1 if is_plain(source) else smallest_tier(tree), "", is_tagged)


def single_function(text: str) -> Prepared | None:
    """The program of a text that is one function without arguments, if it parses; None for any other text.

    The result is that of `prepare`, found without a syntax tree. Whether it parses is left to the
    interpreter: if that finds a mistake, the caller has to use the tree.
    """
    header = _FUNCTION_HEADER.match(text)
    if (
        header is None
        or len(text) > _MAX_CHARACTERS
        or text.count("(") + text.count("[") + text.count("{") > _MAX_BRACKETS
        or _LINE_AT_MARGIN.search(text)
        or _UNSURE.search(text)
        or not is_plain(text)
    ):
        return None
    return Prepared(f"{text.rstrip()}\n\n{header[1]}()", 1)


def dedented(source: str) -> str:
    """A block without the common indentation of its lines and without notebook commands."""
    source = source.strip("\n")
    if source[:1] in (" ", "\t"):
        source = textwrap.dedent(source)
    if "%" in source or "!" in source:
        lines = [line for line in source.split("\n") if not line.startswith(("%", "!"))]
        source = "\n".join(lines)
    return source


def entry_function(tree: ast.Module) -> str | None:
    """The function whose return value is the answer.

    Of the functions at module level that can be called without arguments,
    the one with a conventional name, else the last: helpers come first.
    """
    callable_names = [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and not _needs_arguments(node.args)
    ]
    if not callable_names:
        return None
    for name in _ENTRY_NAMES:
        if name in callable_names:
            return name
    return callable_names[-1]


def _is_assigned(tree: ast.Module, name: str) -> bool:
    """Whether a statement at module level assigns another value to the name."""
    return any(
        isinstance(target, ast.Name) and target.id == name
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
    )


def _needs_arguments(arguments: ast.arguments) -> bool:
    required = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
    return required > 0 or any(default is None for default in arguments.kw_defaults)
