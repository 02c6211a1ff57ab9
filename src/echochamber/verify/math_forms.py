r"""What a mathematical answer is made of: values, lists, sets, tuples, intervals, matrices, equations, inequalities.

Two answers are equal if they are made in the same way and their values are
equal one by one. That is decided here by rule as far as rules go; what is
left, single values and equations, goes to an `Algebra`, which may answer None
(not known here): then the comparison is None, and is asked again where a
computer algebra system is at hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from echochamber.verify.answers import joined_thousands
from echochamber.verify.math_answers import normalized, same_value, tight

_MAX_DEPTH = 8
_TOKEN = re.compile(r"\\[a-zA-Z]++|\\.|[^\\]", re.DOTALL)
_OPENING, _CLOSING = frozenset(("(", "[", "{", "\\{", "\\begin")), frozenset((")", "]", "}", "\\}", "\\end"))
_RELATIONS = {"=": "=", "<": "<", ">": ">", "\\leq": "<=", "\\geq": ">=", "\\neq": "!=", "\\in": "in"}
_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "=", "!=": "!="}
_LABEL = re.compile(
    r"(?:\\?[a-zA-Z]|\\[a-zA-Z]{2,8}|[A-Z]{2}|[a-zA-Z][a-z]{2,12})(?:_\{?[a-zA-Z0-9]{1,4}\}?)?'{0,2}(?:\^\{?-1\}?)?"
    r"(?:\([a-zA-Z0-9,]{1,12}\))?"
)
_LABEL_WORDS = re.compile(r"[a-zA-Z][a-zA-Z ]{2,60}")
_MATRIX = re.compile(
    r"[(\[]? ?\\begin ?\{(?:[pb]?matrix|smallmatrix|array)\} ?(?:\{[lcr| ]{1,20}\})?(?P<body>.*)"
    r"\\end ?\{(?:[pb]?matrix|smallmatrix|array)\} ?[)\]]?",
    re.DOTALL,
)
_LETTER = re.compile(r"[a-zA-Z]")
_DOTS = ("\\ldots", "\\dots", "\\cdots", "...")


@dataclass(frozen=True, slots=True)
class Form:
    """One part of an answer.

    Attributes:
        kind: `value`, `list`, `set`, `tuple` (an open interval is one too), `union`, `row`, `matrix`, `ratio`,
            `named` (a name and what it is), `record` (names and values of a tuple), `relation`, `chain`.
        source: its text, normalised.
        parts: what it is made of.
        sign: brackets of a tuple, name of a `named`, relation of a `relation`, relations of a `chain`.
    """

    kind: str
    source: str
    parts: tuple[Form, ...] = ()
    sign: str = ""


class Algebra(Protocol):
    """Decides what rules cannot; None where it cannot either."""

    def equal(self, answer: str, gold: str) -> bool | None:
        """Whether two expressions have the same value."""

    def same_relation(self, answer: Form, gold: Form) -> bool | None:
        """Whether two equations or inequalities say the same, up to a constant factor."""


class Undecided:
    """The algebra of those who have none."""

    def equal(self, answer: str, gold: str) -> bool | None:
        """Not known."""
        return None

    def same_relation(self, answer: Form, gold: Form) -> bool | None:
        """Not known."""
        return None


def equal_answers(answer: str, gold: str, algebra: Algebra) -> bool | None:
    """Whether two answers in LaTeX are equal; None if `algebra` does not know.

    A comma between three digits may separate thousands or entries: if either
    reading makes the answers equal, they are.
    """
    answer, gold = normalized(answer), normalized(gold)
    if tight(answer) == tight(gold):
        return True
    found = [
        _equal(given, target, algebra) for given in _readings(answer) for target in _readings(gold)
    ]  # fmt: skip
    return _any(found)


def _readings(text: str) -> list[Form]:
    plain = joined_thousands(text) if not any(sign in text for sign in "([") else text
    return [read(text)] if plain == text else [read(plain), read(text)]


def read(text: str, depth: int = 0) -> Form:
    """The form of a normalised answer."""
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
        return Form("named", text, (Form("union", text, tuple(part.parts[0] for part in parts)),), names.pop())
    return Form("list", text, tuple(parts))


def _single(text: str, depth: int) -> Form:
    """An answer without commas and unions outside of brackets."""
    about = _split(text, ("\\approx",))
    if len(about) > 1 and about[0]:
        # An exact value with its approximation: the exact one is the answer.
        return read(about[0], depth + 1)
    pieces, signs = _relations(text)
    if signs:
        return _related(text, pieces, signs, depth)
    if matrix := _MATRIX.fullmatch(text):
        rows = [row for row in matrix["body"].replace("\\hline", "").split("\\\\") if row.strip()]
        cells = [[read(cell, depth + 1) for cell in row.split("&")] for row in rows]
        return Form("matrix", text, tuple(Form("row", "", tuple(row)) for row in cells))
    if inside := _bracketed(text):
        return _bracket(text, *inside, depth)
    pieces = _split(text, (":",))
    if len(pieces) > 1 and all(pieces):
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
        flipped = [_FLIPPED[sign] for sign in reversed(signs)]
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
    if sign in _FLIPPED and sign != "!=":
        if _is_label(right) and not _is_label(left):
            left, right, sign = right, left, _FLIPPED[sign]
        if _is_label(left) and not _is_label(right):
            return Form("named", text, (_ray(text, right, sign),), tight(left))
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
    return bool(_LABEL.fullmatch(bare) or _LABEL_WORDS.fullmatch(text)) and bare not in ("\\pi", "e", "\\infty")


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
    """Pieces between separators that stand outside brackets."""
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


def _equal(answer: Form, gold: Form, algebra: Algebra) -> bool | None:
    """Whether two forms are equal."""
    kinds = (answer.kind, gold.kind)
    if kinds == ("value", "value"):
        same = same_value(answer.source, gold.source)
        return algebra.equal(answer.source, gold.source) if same is None else same
    if "relation" in kinds:
        return _same_relation(answer, gold, algebra)
    if "record" in kinds or _all_named(answer) or _all_named(gold):
        return _equal_names(answer, gold, algebra)
    if "named" in kinds:
        return _equal_named(answer, gold, algebra)
    if "set" in kinds:
        return _equal_sets(answer, gold, algebra)
    if kinds in (("list", "list"), ("union", "union")):
        if any(dots in answer.source + gold.source for dots in _DOTS):
            return _in_order(answer.parts, gold.parts, algebra)
        return _in_any_order(answer.parts, gold.parts, algebra)
    if answer.kind == gold.kind:
        return _in_order(answer.parts, gold.parts, algebra) if answer.sign == gold.sign else False
    if "matrix" in kinds and "value" in kinds:
        return algebra.equal(answer.source, gold.source) if "matrix" in answer.source + gold.source else False
    return False


def _equal_named(answer: Form, gold: Form, algebra: Algebra) -> bool | None:
    """`x = 5` is 5, and `x = 5`, but not `y = 5`; two equations of a line may have different names in front."""
    if answer.kind == gold.kind:
        if answer.sign == gold.sign:
            return _equal(answer.parts[0], gold.parts[0], algebra)
        is_curve = all(form.parts[0].kind == "value" and _LETTER.search(form.parts[0].source) for form in (answer, gold))
        return _same_relation(answer, gold, algebra) if is_curve else False
    if answer.kind == "named":
        return _equal(answer.parts[0], gold, algebra)
    return _equal(answer, gold.parts[0], algebra)


def _same_relation(answer: Form, gold: Form, algebra: Algebra) -> bool | None:
    """Equations and inequalities; one solved for a name counts where others are left in it."""
    given, target = _as_relation(answer), _as_relation(gold)
    if given is None or target is None or given.sign != target.sign and _FLIPPED.get(given.sign) != target.sign:
        return False
    return algebra.same_relation(given, target)


def _as_relation(form: Form) -> Form | None:
    if form.kind == "relation":
        return form
    if form.kind == "named" and form.parts[0].kind == "value" and _LETTER.search(form.parts[0].source):
        return Form("relation", form.source, (Form("value", form.sign), form.parts[0]), "=")
    return None


def _all_named(form: Form) -> bool:
    """Whether a list gives values by name."""
    return form.kind == "list" and all(part.kind in ("named", "relation") for part in form.parts)


def _equal_names(answer: Form, gold: Form, algebra: Algebra) -> bool | None:
    """Values by name: the same names must have the same values, in whatever order they are listed.

    Against values without names: those of one unknown (`x=1, x=-2`, `x_1=1, x_2=-2`) are a list, those of
    several a tuple in the order of the names.
    """
    names, gold_names = _names(answer), _names(gold)
    if names and gold_names:
        if len(set(names)) == len(names):
            if sorted(names) != sorted(gold_names):
                return False
            by_name = dict(zip(names, answer.parts, strict=True))
            given = [by_name[name] for name in gold_names]
            return _all(
                _equal(part.parts[0], target.parts[0], algebra)
                for part, target in zip(given, gold.parts, strict=True)
            )
        return _in_any_order(answer.parts, gold.parts, algebra)
    if not names and not gold_names:
        return _in_any_order(answer.parts, gold.parts, algebra) if answer.kind == gold.kind else False
    return _equal(_nameless(answer) if names else answer, _nameless(gold) if gold_names else gold, algebra)


def _names(form: Form) -> list[str]:
    return [part.sign for part in form.parts] if all(part.kind == "named" for part in form.parts) else []


def _nameless(form: Form) -> Form:
    if form.kind == "record":
        return Form("tuple", "", tuple(part.parts[0] for part in form.parts), form.sign)
    if len({part.sign.partition("_")[0] for part in form.parts}) == 1:
        return Form("list", "", tuple(part.parts[0] for part in form.parts))
    in_order = sorted(form.parts, key=lambda part: part.sign)
    return Form("tuple", "", tuple(part.parts[0] for part in in_order), "()")


def _equal_sets(answer: Form, gold: Form, algebra: Algebra) -> bool | None:
    r"""`\{1, 2\}`, and `1, 2` which lists its elements; a tuple or an interval is no set of its entries."""
    parts, targets = (
        form.parts if form.kind in ("set", "list") else (form,) if form.kind == "value" else ()
        for form in (answer, gold)
    )
    if not parts or not targets:
        return False
    return _all(
        _any(_equal(part, target, algebra) for target in others)
        for some, others in ((parts, targets), (targets, parts))
        for part in some
    )


def _in_order(answer: Sequence[Form], gold: Sequence[Form], algebra: Algebra) -> bool | None:
    if len(answer) != len(gold):
        return False
    return _all(_equal(part, target, algebra) for part, target in zip(answer, gold, strict=True))


def _in_any_order(answer: Sequence[Form], gold: Sequence[Form], algebra: Algebra) -> bool | None:
    """Whether the entries can be paired; equality is transitive, so the first partner found is as good as any."""
    if len(answer) != len(gold):
        return False
    left = list(answer)
    unknown = False
    for target in gold:
        found = [_equal(part, target, algebra) for part in left]
        if True in found:
            del left[found.index(True)]
        elif None in found:
            unknown = True
        else:
            return False
    return None if unknown else True


def _all(found: Iterable[bool | None]) -> bool | None:
    unknown = False
    for one in found:
        if one is False:
            return False
        unknown = unknown or one is None
    return None if unknown else True


def _any(found: Iterable[bool | None]) -> bool | None:
    unknown = False
    for one in found:
        if one:
            return True
        unknown = unknown or one is None
    return None if unknown else False

