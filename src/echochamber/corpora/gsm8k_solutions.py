"""Published GSM8K solutions (Cobbe et al. 2021, arXiv:2110.14168), read from their calculator annotations.

A solution contains `<<48/2=24>>` and ends in `#### 72`. The annotations suffice to write the same solution as
a program or as other prose, if the last number they compute is the answer, and to determine its structure.
"""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from echochamber.base import InputError
from echochamber.corpora.identity import joined
from echochamber.formats import Step, Worked

ANNOTATION = re.compile(r"<<([^<>]*)>>")
# A computation in a line without annotations: "20 - 15 = $5". A run of signs is scanned from its beginning
# only, so that a long one is read once.
_SIGNS = r"[\d,.$()+\-*/x×÷\s]"
_CONTINUED = re.compile(rf"(?P<expression>{_SIGNS}++)=\s*+\$?(?P<value>\d[\d,]*+\.?\d*+)")
_PLAIN = re.compile(rf"(?<!{_SIGNS}){_CONTINUED.pattern}")
# Within such a run, computations begin after a comma or point without a digit, or a dollar without a number.
_PUNCTUATION = re.compile(r"(?<![\d,.])[,.]++|\$(?!\d)")
_TRAILING_MATH = re.compile(r"(?<![\d.,\s()+\-*/x×÷$%=])[\d.,\s()+\-*/x×÷$%=]++$")
_LEADING_ZEROS = re.compile(r"(?<![\d.])0+(?=\d)")
_TIMES = re.compile(r"[x×]")
_IMPLIED_TIMES = re.compile(r"(?<=[\d)])\s*+(?=\()")
_FIRST_WORD = re.compile(r"[\s$\d.,%]*+([a-zA-Z]{2,})")
_OPERATION = re.compile(r"\d\s*+[+\-*/x×÷]")
_STATED = re.compile(r"\d[\d,]*+\.?\d*+")
_NUMBER = re.compile(r"[-+]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:/\d{1,40})?")
# Longer annotations are not computations that anybody wrote.
_MAX_EXPRESSION, _LARGEST = 400, 1e300
# More steps than any published solution has; a reference is searched among all steps before it.
_MAX_STEPS = 200
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div)


class NotConvertible(Exception):
    """A solution cannot be written in another format; the reason is one of a few fixed phrases."""


def final_answer(answer: str, place: str = "solution") -> str:
    """The text after the last `####`, without commas and dollar signs.

    Raises:
        InputError: there is no `####`.
    """
    _, mark, tail = answer.rpartition("####")
    if not mark or not tail.strip():
        raise InputError(f"{place}: the answer has no '#### N' line; expected a GSM8K solution")
    return tail.strip().replace(",", "").replace("$", "")


def _fraction(text: str) -> Fraction | None:
    text = text.replace(",", "").strip()
    if not _NUMBER.fullmatch(text):
        return None
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        return None


def _value(node: ast.expr, names: dict[str, Fraction]) -> Fraction:
    """Exact value of a parsed arithmetic expression."""
    match node:
        case ast.Constant(value=int() | float() as number) if (
            not isinstance(number, bool) and abs(number) < _LARGEST
        ):
            return Fraction(repr(number))
        case ast.Name(id=name):
            return names[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, names)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _value(operand, names)
        case ast.BinOp(left=left, op=op, right=right) if isinstance(op, _OPERATORS):
            a, b = _value(left, names), _value(right, names)
            if isinstance(op, ast.Add):
                return a + b
            if isinstance(op, ast.Sub):
                return a - b
            if isinstance(op, ast.Mult):
                return a * b
            if b == 0:
                raise NotConvertible("divides by zero")
            return a / b
    raise NotConvertible("computes with more than + - * /")


def _parse(text: str) -> ast.expr:
    if len(text) > _MAX_EXPRESSION:
        raise NotConvertible("has an annotation that is no expression")
    cleaned = _LEADING_ZEROS.sub("", text.replace(",", "").replace("$", ""))
    cleaned = _TIMES.sub("*", cleaned).replace("÷", "/").replace("//", "/").strip()
    cleaned = _IMPLIED_TIMES.sub("*", cleaned)
    try:
        return ast.parse(cleaned, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise NotConvertible("has an annotation that is no expression") from error


class _References(ast.NodeTransformer):
    """Replaces a number by the name of the earlier step that computed it."""

    def __init__(self, names: dict[str, Fraction], stated: set[Fraction]) -> None:
        self.names, self.stated = names, stated

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        value = Fraction(repr(node.value))
        matching = [name for name, result in self.names.items() if result == value]
        # A number that the question also states is taken as the stated one unless it was just computed.
        last = next(reversed(self.names), None)
        if matching and (value not in self.stated or matching[-1] == last):
            return ast.Name(id=matching[-1], ctx=ast.Load())
        return node


_NO_UNITS = frozenset(
    ("per", "in", "of", "the", "for", "to", "on", "and", "at", "by", "from", "more", "less", "this", "that")
)


def _unit(after: str) -> str:
    """The word after a result, if it can be what the result counts."""
    word = _FIRST_WORD.match(after)
    if word is None or word.group(1).lower() in _NO_UNITS or keyword.iskeyword(word.group(1).lower()):
        return ""
    return word.group(1)


def _name(unit: str, names: dict[str, Fraction], index: int) -> str:
    base = name = unit.lower() or f"step{index}"
    count = 2
    while name in names:
        name, count = f"{base}{count}", count + 1
    return name


@dataclass(frozen=True, slots=True)
class _Computation:
    """One computation of a published solution: its expression and value with the text around it."""

    before: str
    tree: ast.expr
    exact: Fraction
    printed: Fraction
    value: str
    after: str


def _computation(before: str, expression: str, value: str, after: str) -> _Computation:
    value = value.strip().replace("$", "").rstrip(".")
    tree = _parse(expression)
    exact, printed = _value(tree, {}), _fraction(value)
    if printed is None or abs(printed - exact) > max(Fraction(1, 100), abs(exact) / 100):
        raise NotConvertible("has an annotation that is wrong")
    return _Computation(before, tree, exact, printed, value, after)


def _computations(solution: str) -> Iterator[_Computation]:
    """All computations, line by line: the annotated ones, and plain ones on lines without annotations."""
    for line in solution.splitlines():
        annotations = list(ANNOTATION.finditer(line))
        if annotations:
            ends = [*(a.start() for a in annotations[1:]), len(line)]
            begin = 0
            for found, end in zip(annotations, ends, strict=True):
                expression, equals, value = found.group(1).rpartition("=")
                if not equals:
                    raise NotConvertible("has an annotation that is no expression")
                yield _computation(line[begin : found.start()], expression, value, line[found.end() : end])
                begin = found.end()
        else:
            for found in _plain_computations(line):
                expression, value = found["expression"], found["value"]
                *_, start = [0, *(sign.end() for sign in _PUNCTUATION.finditer(expression))]
                expression = expression[start:]
                if _OPERATION.search(expression):
                    # Often part of an equation: anything that cannot be read as a computation is prose.
                    with suppress(NotConvertible):
                        before, after = line[: found.start() + start], line[found.end() :]
                        yield _computation(before, expression, value, after)


def _plain_computations(line: str) -> Iterator[re.Match[str]]:
    """Runs of signs followed by `=` and a number; one may begin where the previous one ended."""
    found = _PLAIN.search(line)
    while found is not None:
        yield found
        found = _CONTINUED.match(line, found.end()) or _PLAIN.search(line, found.end())


@lru_cache(maxsize=16_384)
def convert(question: str, answer: str, place: str = "solution") -> Worked:
    """A published solution as steps that every format can write.

    Numbers that an earlier step computed become references to it. The last
    step's exact value is the gold answer; a step whose printed value is
    rounded is kept, and later steps continue with the printed number.

    Raises:
        NotConvertible: with the reason, one of a few fixed phrases.
        InputError: no `#### N` line.
    """
    gold_text = final_answer(answer, place)
    gold = _fraction(gold_text)
    if gold is None:
        raise NotConvertible("has an answer that is no number")
    stated = _stated(question)
    names: dict[str, Fraction] = {}
    steps: list[Step] = []
    end = 0
    for found in _computations(answer.rpartition("####")[0]):
        if len(steps) == _MAX_STEPS:
            raise NotConvertible("has too many computations")
        shown = ast.unparse(found.tree)
        referring = ast.unparse(_References(names, stated).visit(found.tree))
        unit = _unit(found.after)
        name = _name(unit, names, len(steps) + 1)
        text = _TRAILING_MATH.sub("", ANNOTATION.sub("", found.before)).strip().removeprefix(". ")
        steps.append(Step(name, referring, shown, found.value, sentence=text, unit=unit))
        if found.exact == found.printed:
            names[name] = found.exact
        if found.exact == gold:
            end = len(steps)
    if not steps:
        raise NotConvertible("has no computation")
    if end == 0:
        raise NotConvertible("does not compute its answer")
    return Worked(question=question, steps=tuple(steps[:end]), answer=gold_text)


@lru_cache(maxsize=16_384)
def structure_of_solution(question: str, answer: str) -> str:
    """Operations and numbers of a published solution (see `corpora.identity`); empty if it has none.

    Every computation that no later one uses is the root of a tree; the trees are sorted. The stated answer is
    not part of the structure, so that correcting it changes no identity.
    """
    stated = _stated(question)
    names: dict[str, Fraction] = {}
    trees: dict[str, str] = {}
    tops: set[str] = set()
    try:
        for index, found in enumerate(_computations(answer.rpartition("####")[0])):
            if index == _MAX_STEPS:
                return ""
            name = f"step{index}"
            used: set[str] = set()
            trees[name] = _structure(_References(names, stated).visit(found.tree), trees, used)
            tops = (tops - used) | {name}
            if found.exact == found.printed:
                names[name] = found.exact
    except NotConvertible:
        return ""
    return ";".join(sorted(trees[name] for name in tops if "(" in trees[name]))


def _structure(node: ast.expr, trees: dict[str, str], used: set[str]) -> str:
    """The structure of a parsed expression; records the steps that it uses."""
    match node:
        case ast.Name(id=name):
            used.add(name)
            return trees[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return f"(-{_structure(operand, trees, used)})"
        case ast.UnaryOp(operand=operand):
            return _structure(operand, trees, used)
        case ast.BinOp(left=left, op=op, right=right):
            symbol = "+-*/"[_OPERATORS.index(type(op))]
            return joined(symbol, _structure(left, trees, used), _structure(right, trees, used))
    return str(_value(node, {}))


def _stated(question: str) -> set[Fraction]:
    """The numbers that a question states."""
    return {value for text in _STATED.findall(question) if (value := _fraction(text.rstrip(".,")))}
