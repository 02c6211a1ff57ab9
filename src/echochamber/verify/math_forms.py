r"""The parts of a mathematical answer: values, lists, sets, tuples, matrices, equations, inequalities.

Reading does not decide equality: `x < 3` becomes the interval of x that it means, `n = 4, 5, 6` a name with a
list, and every part keeps its text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from echochamber.verify.math_answers import tight

_MAX_DEPTH = 8
_TOKEN = re.compile(r"\\[a-zA-Z]++|\\.|[^\\]", re.DOTALL)
_OPENING, _CLOSING = frozenset(("(", "[", "{", "\\{", "\\begin")), frozenset((")", "]", "}", "\\}", "\\end"))
_RELATIONS = {"=": "=", "<": "<", ">": ">", "\\leq": "<=", "\\geq": ">=", "\\neq": "!=", "\\in": "in"}
FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "=", "!=": "!="}
_LABEL = re.compile(
    r"(?:\\?[a-zA-Z]|\\[a-zA-Z]{2,8}|[A-Z]{2}|[a-zA-Z][a-z]{2,12})(?:_\{?[a-zA-Z0-9]{1,4}\}?)?'{0,2}(?:\^\{?-1\}?)?"
    r"(?:\([a-zA-Z0-9,]{1,12}\))?"
)
LABEL_WORDS = re.compile(r"[a-zA-Z][a-zA-Z ]{2,60}")
_MATRIX = re.compile(
    r"[(\[]? ?\\begin ?\{(?:[pb]?matrix|smallmatrix|array)\} ?(?:\{[lcr| ]{1,20}\})?(?P<body>.*)"
    r"\\end ?\{(?:[pb]?matrix|smallmatrix|array)\} ?[)\]]?",
    re.DOTALL,
)
_WORD = re.compile(r"(?<!\\)[a-zA-Z]{2}")


@dataclass(frozen=True, slots=True)
class Form:
    """One part of an answer.

    Attributes:
        kind: `value`, `list`, `set`, `tuple` (an interval is one too), `union`, `row`, `matrix`, `ratio`,
            `named` (a name and what it is), `record` (names and values of a tuple), `relation`, `chain`.
        source: its text, normalized.
        parts: its own parts.
        sign: brackets of a tuple, name of a `named`, relation of a `relation`, relations of a `chain`.
    """

    kind: str
    source: str
    parts: tuple[Form, ...] = ()
    sign: str = ""


def read(text: str, depth: int = 0) -> Form:
    """The form of a normalized answer."""
    text = text.strip()
    if depth > _MAX_DEPTH:
        return Form("value", text)
    pieces = _split(text, ("\\cup",))
    if len(pieces) > 1:
        return Form("union", text, tuple(read(piece, depth + 1) for piece in pieces))
    pieces = [piece for piece in _split(text, (",", ";")) if piece]
    if len(pieces) > 1:
        return _list(text, [part for piece in pieces for part in _both_signs(piece, depth)])
    signed = _both_signs(text, depth)
    return signed[0] if len(signed) == 1 else Form("list", text, signed)


def _both_signs(text: str, depth: int) -> tuple[Form, ...]:
    r"""One entry, or two where it holds `\pm`."""
    if text.count("\\pm") != 1 or any(bracket in text for bracket in ("\\{", "[", ",")):
        return (_single(text, depth),)
    return tuple(
        _single(text.replace("\\pm", sign).replace("\\mp", other).strip().removeprefix("+"), depth)
        for sign, other in (("+", "-"), ("-", "+"))
    )


def _list(text: str, parts: Sequence[Form]) -> Form:
    """Entries between commas. `n=4,5,6` is one name for all; `x<0, x>3` a union of intervals."""
    first, *others = parts
    if first.kind == "named" and all(part.kind == "value" for part in (*first.parts, *others)):
        return Form("named", text, (Form("list", text, (*first.parts, *others)),), first.sign)
    names = {part.sign for part in parts if part.kind == "named" and part.parts[0].kind == "tuple"}
    if len(names) == 1 and all(part.kind == "named" for part in parts):
        return Form(
            "named", text, (Form("union", text, tuple(part.parts[0] for part in parts)),), names.pop()
        )
    return Form("list", text, tuple(parts))


def _single(text: str, depth: int) -> Form:
    """An answer without commas or unions outside brackets."""
    about = _split(text, ("\\approx",))
    if len(about) > 1 and about[0]:
        # Of an exact value with its approximation, the exact one is the answer.
        return read(about[0], depth + 1)
    pieces, signs = _relations(text)
    if signs:
        return _related(text, pieces, signs, depth)
    if (matrix := _MATRIX.fullmatch(text)) and "\\begin" not in matrix["body"]:
        rows = [row for row in matrix["body"].replace("\\hline", "").split("\\\\") if row.strip()]
        cells = [[read(cell, depth + 1) for cell in row.split("&")] for row in rows]
        return Form("matrix", text, tuple(Form("row", "", tuple(row)) for row in cells))
    if inside := _bracketed(text):
        return _bracket(text, *inside, depth)
    pieces = _split(text, (":",))
    if len(pieces) > 1 and all(pieces) and not _WORD.search(text):
        return Form("ratio", text, tuple(Form("value", piece) for piece in pieces))
    return Form("value", text)


def _bracket(text: str, opening: str, content: str, closing: str, depth: int) -> Form:
    pieces = _split(content, (",", ";"))
    if opening == "\\{":
        within = read(content, depth + 1)
        return Form("set", text, within.parts if within.kind == "list" else (within,))
    if len(pieces) == 1:
        return read(content, depth + 1) if opening == "(" and closing == ")" else Form("value", text)
    return Form("tuple", text, tuple(read(piece, depth + 1) for piece in pieces), opening + closing)


def _related(text: str, pieces: list[str], signs: list[str], depth: int) -> Form:
    """An equation, an inequality, or several in a row."""
    if any(not piece for piece in pieces):
        return Form("value", text)
    if len(signs) == 1:
        return _relation(text, pieces, signs[0], depth)
    if len(signs) == 2 and _is_label(pieces[1]) and set(signs) in ({"<"}, {"<="}, {"<", "<="}):
        brackets = ("(" if signs[0] == "<" else "[") + (")" if signs[1] == "<" else "]")
        ends = (Form("value", pieces[0]), Form("value", pieces[2]))
        return Form("named", text, (Form("tuple", text, ends, brackets),), tight(pieces[1]))
    if all(sign in (">", ">=") for sign in signs):
        flipped = [FLIPPED[sign] for sign in reversed(signs)]
        return _related(text, pieces[::-1], flipped, depth)
    return Form("chain", text, tuple(Form("value", piece) for piece in pieces), " ".join(signs))


def _relation(text: str, pieces: list[str], sign: str, depth: int) -> Form:
    left, right = pieces
    if sign in ("=", "in"):
        if not _is_label(left) and _is_label(right) and sign == "=":
            left, right = right, left
        value = read(right, depth + 1)
        if _is_label(left):
            return Form("named", text, (value,), tight(left))
        names = read(left, depth + 1)
        if names.kind == value.kind == "tuple" and len(names.parts) == len(value.parts):
            named = [
                Form("named", "", (part,), tight(name.source))
                for name, part in zip(names.parts, value.parts, strict=True)
            ]
            return Form("record", text, tuple(named), value.sign)
        return Form("relation", text, (Form("value", left), Form("value", right)), sign)
    if sign in FLIPPED and sign != "!=":
        if _is_label(right) and not _is_label(left):
            left, right, sign = right, left, FLIPPED[sign]
        if _is_label(left) and not _is_label(right):
            return Form("named", text, (_ray(text, right, sign),), tight(left))
        if sign in (">", ">="):
            left, right, sign = right, left, FLIPPED[sign]
    return Form("relation", text, (Form("value", left), Form("value", right)), sign)


def _ray(text: str, end: str, sign: str) -> Form:
    r"""`x < 3` as the interval `(-\infty, 3)`."""
    ends = (Form("value", "-\\infty"), Form("value", end))
    if sign in ("<", "<="):
        return Form("tuple", text, ends, "()" if sign == "<" else "(]")
    ends = (Form("value", end), Form("value", "\\infty"))
    return Form("tuple", text, ends, "()" if sign == ">" else "[)")


def _is_label(text: str) -> bool:
    """Whether a text names something: `x`, `x_1`, `f(x)`, `AB`, a word."""
    bare = tight(text)
    return bool(_LABEL.fullmatch(bare) or LABEL_WORDS.fullmatch(text)) and bare not in (
        "\\pi",
        "e",
        "\\infty",
    )


def _tokens(text: str) -> Iterable[tuple[str, int, int]]:
    """(token, start, depth in brackets) of every token outside or at the edge of brackets."""
    depth = 0
    for found in _TOKEN.finditer(text):
        token = found[0]
        if token in _CLOSING:
            depth = max(0, depth - 1)
        yield token, found.start(), depth
        if token in _OPENING:
            depth += 1


def _split(text: str, separators: tuple[str, ...]) -> list[str]:
    """The pieces between separators that are outside brackets."""
    pieces, start = [], 0
    for token, position, depth in _tokens(text):
        if depth == 0 and token in separators:
            pieces.append(text[start:position].strip())
            start = position + len(token)
    return [*pieces, text[start:].strip()]


def _relations(text: str) -> tuple[list[str], list[str]]:
    """The pieces between relations outside brackets, and the relations."""
    signs = [_RELATIONS[token] for token, _, depth in _tokens(text) if depth == 0 and token in _RELATIONS]
    return (_split(text, tuple(_RELATIONS)), signs) if signs else ([], [])


def _bracketed(text: str) -> tuple[str, str, str] | None:
    """(opening, content, closing) if one pair of brackets holds the whole text."""
    opening = next((sign for sign in ("\\{", "(", "[") if text.startswith(sign)), None)
    if opening is None:
        return None
    for token, position, depth in _tokens(text):
        if depth == 0 and token in _CLOSING:
            whole = position + len(token) == len(text) and (token == "\\}") == (opening == "\\{")
            return (opening, text[len(opening) : position], token) if whole and token != "}" else None
    return None
