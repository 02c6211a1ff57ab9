"""Python text: parsing untrusted code, and finding where a program begins and ends in prose."""

from __future__ import annotations

import ast
import re
import warnings
from functools import lru_cache
from itertools import islice

# Longer programs are refused by the grader; parsing them would only cost time.
MAX_PROGRAM_CHARACTERS = 262_144
_MAX_CUTS = 8
_MAX_HEADERS = 100

# Every repetition is possessive or ends at a character it cannot match, so each line is read only once.
_HEADER = re.compile(
    r"^(?:async[ \t]++)?def[ \t]++[^\W\d]\w*+[ \t]*+\([^\n]*?\)[ \t]*+(?:->[^\n:()]++)?:(?P<rest>[^\n]*+)$",
    re.MULTILINE,
)
_OPEN_HEADER = re.compile(
    r"^def[ \t]++[^\W\d]\w*+[ \t]*+\([^\n)]*+(?:\)[ \t]*+(?:->[^\n:]*+)?)?\Z", re.MULTILINE
)
# Blank lines and comments at the margin, which may come between a header and its body.
_BEFORE_BODY = re.compile(r"(?:#[^\n]*+(?:\n|\Z)|[ \t]*+\r?\n)*+[ \t]*+")
_LEADING = re.compile(
    r"^(?:#.*|@.*|import[ \t]++[\w., \t]+|from[ \t]++[\w.]++[ \t]++import\b.*|[^\W\d]\w*+[ \t]*+=[^=].*"
    r"|class[ \t]++\w++.*:|[ \t]++\S.*|[ \t]*+)$"
)
_STATEMENT = re.compile(
    r"^(?:#|@|(?:import|from|def|async|class|if|elif|else|for|while|try|except|finally|with|return|assert"
    r"|raise|pass|del|global)\b|[\w.\[\]'\", \t]++(?:[-+*/%]|//|\*\*)?=[^=]|[\w.]++\(|[)\]}])"
)
_ANSWER_LINE = re.compile(r"^####[ \t]*+[-+$.]*+\d", re.MULTILINE)


class ParseError(Exception):
    """The text is not a Python program; `line` is where (1-based), 0 if unknown."""

    def __init__(self, line: int) -> None:
        super().__init__(f"line {line}")
        self.line = line


@lru_cache(maxsize=4)
def parse_python(source: str) -> ast.Module:
    """Parse without warnings and with one kind of error.

    The last trees are kept, since a program is looked at both to find it and to
    run it: callers must not change them.

    Raises:
        ParseError: not a program: a syntax error, a null byte, or nesting deeper than the parser allows.
    """
    if len(source) > MAX_PROGRAM_CHARACTERS:
        raise ParseError(0)
    try:
        # Invalid escapes ("\$" in a docstring) and literals ("0or 1") would be reported on the terminal.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except SyntaxError as error:
        raise ParseError(error.lineno or 0) from None
    except (ValueError, RecursionError, MemoryError):
        raise ParseError(0) from None


@lru_cache(maxsize=1024)
def parses(source: str) -> bool:
    """Whether the text is a Python program."""
    try:
        parse_python(source)
    except ParseError:
        return False
    return True


def function_start(text: str) -> int | None:
    """Where the first function definition at the left margin begins, or None.

    A definition is a header that parses, followed by a body, or by the end of the text (cut off). A header
    that is itself cut off counts when only code precedes it.
    """
    for match in islice(_HEADER.finditer(text), _MAX_HEADERS):
        rest = match["rest"].strip()
        header = match[0] if rest and not rest.startswith("#") else match[0] + "\n pass"
        if not parses(header):
            continue
        if rest and not rest.startswith("#"):
            return match.start()
        body = _BEFORE_BODY.match(text, match.end())
        if body is None or body.end() == len(text) or text[body.end() - 1] in " \t":
            return match.start()
    cut = _OPEN_HEADER.search(text)
    if cut and _code_start(text, cut.start()) == 0:
        return cut.start()
    return None


def _code_start(text: str, start: int) -> int:
    """Walk back from a definition over the imports, assignments and comments that belong to it."""
    while start > 0:
        previous = text.rfind("\n", 0, start - 1) + 1
        line = text[previous : start - 1]
        if not _LEADING.match(line) or _ANSWER_LINE.match(line):
            break
        start = previous
    while start < len(text) and text[start] == "\n":
        start += 1
    return start


def split_program(text: str) -> tuple[str, str]:
    """Separate a program at the left margin from the prose around it.

    Returns:
        (program, prose). The program is empty if the text has no function
        definition at the left margin. It runs from the imports before the
        first definition to the last line that still parses with it; a program
        that does not parse ends before the first line that cannot be code.
    """
    definition = function_start(text)
    if definition is None:
        return "", text
    start = _code_start(text, definition)
    body = text[start:]
    end = _program_end(body)
    return body[:end], text[:start] + "\n" + body[end:]


def _program_end(body: str) -> int:
    """Length of the program at the beginning of `body`."""
    answer = _ANSWER_LINE.search(body)
    limit = len(body)
    for _ in range(_MAX_CUTS):
        try:
            tree = parse_python(body[:limit])
        except ParseError as error:
            limit = _cut_before(body, limit, error.line)
            if limit == 0:
                return _guessed_end(body)
            continue
        if answer and answer.start() < limit and parses(body[: answer.start()]):
            return answer.start()
        if limit < len(body) and function_start(body[:limit]) is None:
            return _guessed_end(body)
        return _before_accidental_code(body[:limit], tree)
    return _guessed_end(body)


def _before_accidental_code(program: str, tree: ast.Module) -> int:
    """Length of a program without trailing sentences that happen to parse, such as `Note: it is 6.`"""
    end = len(tree.body)
    while end and isinstance(last := tree.body[end - 1], ast.AnnAssign) and last.value is None:
        end -= 1
    if end == len(tree.body):
        return len(program)
    lines = program.splitlines(keepends=True)
    return sum(len(line) for line in lines[: tree.body[end].lineno - 1])


def _cut_before(body: str, limit: int, line: int) -> int:
    """End of the text before the last left-margin line at or above `line` (1-based); 0 if there is none."""
    lines = body[:limit].splitlines(keepends=True)
    for index in range(min(line, len(lines)) - 1, 0, -1):
        if lines[index].strip() and lines[index][0] not in " \t":
            return sum(len(text) for text in lines[:index])
    return 0


def _guessed_end(body: str) -> int:
    """End of a program with a syntax error: the first left-margin line that cannot be a statement."""
    position, quote = 0, ""
    for number, line in enumerate(body.splitlines(keepends=True)):
        outside = not quote
        for mark in ('"""', "'''"):
            if quote in ("", mark) and line.count(mark) % 2:
                quote = "" if quote else mark
        if (
            number
            and outside
            and line.strip()
            and line[0] not in " \t"
            and (not _STATEMENT.match(line) or _ANSWER_LINE.match(line))
        ):
            return position
        position += len(line)
    return len(body)
