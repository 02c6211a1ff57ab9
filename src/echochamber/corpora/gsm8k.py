"""GSM8K (Cobbe et al. 2021, arXiv:2110.14168): its JSONL read as it is published, its solutions re-rendered.

A solution carries `<<48/2=24>>` calculator annotations and ends in `#### 72`.
The annotations are enough to say the same solution as a program or as other
prose, if the last number they compute is the answer.
"""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Literal

from pydantic import field_validator

from echochamber.base import InputError, Problem, Row, read_files, text_field
from echochamber.corpora.files import FILE_CHUNK_ROWS
from echochamber.corpora.sources import BaseSource, Example, register_source, text_key
from echochamber.corpora.tasks import BaseTask, register_task, take_problems
from echochamber.corpora.word_problems import known_format
from echochamber.formats import Step, Worked, format_names, get_format

ANNOTATION = re.compile(r"<<([^<>]*)>>")
# A computation in a line without annotations: "20 - 15 = $5". A run of signs is looked at from its beginning
# only, so that a long one is read once.
_SIGNS = r"[\d,.$()+\-*/x×÷\s]"
_CONTINUED = re.compile(rf"(?P<expression>{_SIGNS}++)=\s*+\$?(?P<value>\d[\d,]*+\.?\d*+)")
_PLAIN = re.compile(rf"(?<!{_SIGNS}){_CONTINUED.pattern}")
# Within such a run: a comma or a point behind no digit, a dollar before none. The computation begins behind.
_PUNCTUATION = re.compile(r"(?<![\d,.])[,.]++|\$(?!\d)")
_TRAILING_MATH = re.compile(r"(?<![\d.,\s()+\-*/x×÷$%=])[\d.,\s()+\-*/x×÷$%=]++$")
_LEADING_ZEROS = re.compile(r"(?<![\d.])0+(?=\d)")
_TIMES = re.compile(r"[x×]")
_IMPLIED_TIMES = re.compile(r"(?<=[\d)])\s*+(?=\()")
_FIRST_WORD = re.compile(r"[\s$\d.,%]*+([a-zA-Z]{2,})")
_OPERATION = re.compile(r"\d\s*+[+\-*/x×÷]")
_STATED = re.compile(r"\d[\d,]*+\.?\d*+")
_NUMBER = re.compile(r"[-+]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:/\d{1,40})?")
# Longer annotations are no computations that anybody wrote down.
_MAX_EXPRESSION, _LARGEST = 400, 1e300
# More steps than any published solution has; a reference is looked for among all of those before it.
_MAX_STEPS = 200
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div)


class NotConvertible(Exception):
    """Why a solution cannot be said in another format; the reason is one of a few fixed phrases."""


@dataclass(slots=True)
class Conversion:
    """How many solutions of a file convert, and why the others do not."""

    total: int = 0
    converted: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    def count(self, reason: str | None) -> None:
        """Note one solution; `reason` is None for one that converts."""
        self.total += 1
        if reason is None:
            self.converted += 1
        else:
            self.reasons[reason] = self.reasons.get(reason, 0) + 1


def final_answer(answer: str, place: str = "solution") -> str:
    """What follows the last `####`, without commas and dollar signs.

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
        case ast.Constant(value=int() | float() as number) if abs(number) < _LARGEST:
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
    """Puts the name of an earlier step where its number stands."""

    def __init__(self, names: dict[str, Fraction], stated: set[Fraction]) -> None:
        self.names, self.stated = names, stated

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        value = Fraction(repr(node.value))
        matching = [name for name, result in self.names.items() if result == value]
        # A number that the question states too is taken for the stated one, unless it was just computed.
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
    """Each computation, line by line: the annotated ones, and on lines without any the plain ones."""
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
                    # Part of an equation, often: what cannot be read as a computation is prose.
                    with suppress(NotConvertible):
                        before, after = line[: found.start() + start], line[found.end() :]
                        yield _computation(before, expression, value, after)


def _plain_computations(line: str) -> Iterator[re.Match[str]]:
    """Runs of signs with `=` and a number behind them; one may go on where the one before it ended."""
    found = _PLAIN.search(line)
    while found is not None:
        yield found
        found = _CONTINUED.match(line, found.end()) or _PLAIN.search(line, found.end())


@lru_cache(maxsize=16_384)
def convert(question: str, answer: str, place: str = "solution") -> Worked:
    """A published solution as steps that every format can render.

    Numbers that an earlier step computed become references to it. The last
    step's exact value is the gold answer; a step whose printed value is
    rounded is kept, and later steps go on from the printed number.

    Raises:
        NotConvertible: with the reason, one of a few fixed phrases.
        InputError: no `#### N` line.
    """
    gold_text = final_answer(answer, place)
    gold = _fraction(gold_text)
    if gold is None:
        raise NotConvertible("has an answer that is no number")
    stated = {value for text in _STATED.findall(question) if (value := _fraction(text.rstrip(".,")))}
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


def _rows(path: Path, start: int = 0) -> Iterator[tuple[str, Row]]:
    return read_files((path,), ("question", "answer"), start)


@register_source
class Gsm8kSource(BaseSource):
    """GSM8K training questions with their solutions in one format.

    Attributes:
        path: the published `train.jsonl`, or the hub's Parquet file.
        format: `gsm8k` keeps the published solutions, annotations included; any other format is
            rendered from the annotations, and questions that do not convert are left out and counted.
    """

    kind: Literal["gsm8k"] = "gsm8k"
    path: Path
    format: str = "gsm8k"

    @field_validator("format")
    @classmethod
    def _known_format(cls, name: str) -> str:
        return known_format(name)

    def inputs(self) -> tuple[Path, ...]:
        """See `BaseSource.inputs`."""
        return (self.path.expanduser(),)

    def chunks(self, *, seed: int, excluded: frozenset[str], start: int = 0) -> Iterator[list[Example]]:
        """See `BaseSource.chunks`."""
        rows = _rows(self.path.expanduser(), start * FILE_CHUNK_ROWS)
        while batch := list(islice(rows, FILE_CHUNK_ROWS)):
            yield [example for place, row in batch if (example := self._example(row, place)) is not None]

    def _example(self, row: Row, place: str) -> Example | None:
        question = text_field(row, "question", place).strip()
        answer = text_field(row, "answer", place)
        if self.format == "gsm8k":
            final_answer(answer, place)
            solution = answer.strip()
        else:
            try:
                solution = get_format(self.format).render(convert(question, answer, place))
            except NotConvertible:
                return None
        return Example(text_key(question), question, solution, self.format, True)

    def notes(self) -> dict[str, int | str]:
        """Rows that convert and rows left out, by reason."""
        if self.format == "gsm8k":
            return {}
        report = conversion_report(self.path)
        return {
            "rows": report.total,
            "converted": report.converted,
            **{f"left out: {reason}": count for reason, count in sorted(report.reasons.items())},
        }


def conversion_report(path: Path) -> Conversion:
    """How many solutions of a GSM8K file convert to the other formats.

    Raises:
        InputError: missing file, broken line or missing field.
    """
    report = Conversion()
    for place, row in _rows(path.expanduser()):
        try:
            convert(text_field(row, "question", place), text_field(row, "answer", place), place)
            report.count(None)
        except NotConvertible as error:
            report.count(str(error))
    return report


@register_task
class Gsm8kTask(BaseTask):
    """GSM8K questions to be solved, in the order of the file.

    Attributes:
        path: the published `train.jsonl` or `test.jsonl`, or the hub's Parquet file.
    """

    kind: Literal["gsm8k"] = "gsm8k"
    path: Path

    def inputs(self) -> tuple[Path, ...]:
        """See `BaseTask.inputs`."""
        return (self.path.expanduser(),)

    def draw(self, *, seed: int, taken: frozenset[str]) -> list[Problem]:
        """See `BaseTask.draw`. The level is the number of annotated computations."""
        return take_problems(self._problems(), self.num_problems, taken)

    def _problems(self) -> Iterator[Problem]:
        for place, row in _rows(self.path.expanduser()):
            question = text_field(row, "question", place).strip()
            answer = text_field(row, "answer", place)
            yield Problem(
                key=text_key(question),
                question=question,
                gold=final_answer(answer, place),
                level=len(ANNOTATION.findall(answer)),
                references=_references(question, answer, place),
            )


def _references(question: str, answer: str, place: str) -> dict[str, str]:
    """The published solution and its renderings in the other formats, where it converts."""
    found = {"gsm8k": answer.strip()}
    with suppress(NotConvertible):
        worked = convert(question, answer, place)
        found |= {name: get_format(name).render(worked) for name in format_names() if name != "gsm8k"}
    return found
