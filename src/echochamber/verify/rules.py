"""The rules that decide whether an answer equals the gold answer, one class each."""

from __future__ import annotations

import ast
import atexit
import contextlib
import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import lru_cache
from typing import Any, Protocol

from echochamber.base import InputError, Registry
from echochamber.formats.boxes import last_box
from echochamber.verify.answers import FLOAT_DIGITS, Number, parse_number, same_number
from echochamber.verify.comparing import Comparer
from echochamber.verify.math_answers import normalized, same_half_of_day
from echochamber.verify.math_equality import Undecided, equal_answers
from echochamber.verify.outcomes import Execution
from echochamber.verify.spelling import MAX_CHARACTERS

_WHOLE = re.compile(r"-?[0-9]{1,400}")
# `print(1, 234)` prints two numbers, where `1 234` in prose is one.
_TWO_PRINTED = re.compile(r"[0-9] [0-9]")
_WHITE = re.compile(r"\s++")
# Not gold answers: missing values converted to text, and phrases used in place of an answer.
_NO_ANSWER = re.compile(r"(?:nan|none|null|n/a|na|-?inf|tbd|todo|unknown|\?+|-+)", re.IGNORECASE)
_VAGUE = re.compile(
    r"\b(?:about|approx(?:imately|\.)?|roughly|around|nearly|almost|see|figure|answers? (?:may|will) vary)\b",
    re.IGNORECASE,
)
_UNDECIDED = Undecided()


class Rules(Protocol):
    """How an answer is compared with the gold answer."""

    name: str

    def check_gold(self, gold: str) -> None:
        """Raise `InputError` if `gold` cannot be a gold answer under these rules."""

    def text_equals(self, answers: Sequence[str], golds: Sequence[str]) -> list[bool]:
        """Whether each answer written as text equals its gold answer."""

    def value_equals(self, execution: Execution, gold: str) -> bool | None:
        """Whether the value of a program equals the gold answer; None if only its text can tell."""


def value_of(execution: Execution) -> Number | None:
    """The number a program produced: its value, or the last line it printed if it has no value.

    Booleans and compound values are not numbers, nor is anything that does not look like its kind. A float
    whose text has `FLOAT_DIGITS` digits may have lost some; integers, decimals and shorter floats are exact.
    """
    kind, text = execution.kind, execution.value
    if kind == "none":
        kind, text = "str", execution.output
        if _TWO_PRINTED.search(text):
            return None
    if len(text) > MAX_CHARACTERS:
        return None
    if kind == "int":
        return Number(Fraction(int(text))) if _WHOLE.fullmatch(text) else None
    if kind in ("float", "decimal"):
        with contextlib.suppress(InvalidOperation, ValueError):
            return _decimal(Decimal(text), kind)
        return None
    number = parse_number(text) if kind in ("str", "ratio") else None
    # `72/1` of type Fraction is a value, not a division yet to be carried out.
    return Number(number.value) if number and kind == "ratio" else number


def _decimal(value: Decimal, kind: str) -> Number | None:
    if not value.is_finite() or abs(value.adjusted()) >= MAX_CHARACTERS:
        return None
    digits = len(value.as_tuple().digits)
    is_whole = value == value.to_integral_value()
    return Number(Fraction(value), rounded=kind == "float" and digits >= FLOAT_DIGITS and not is_whole)


@lru_cache(maxsize=16384)
def gold_text(gold: str) -> str:
    r"""The answer within a gold answer, which may include its whole solution.

    This is the text after the last `####`, or after `A:` at the beginning of a line, or else the last box;
    the whole text if there is none of these.
    """
    for mark in ("####", "\nA:"):
        if mark in gold:
            return gold.rpartition(mark)[2].strip()
    if "box" in gold and (box := last_box(gold)) is not None:
        return box.strip()
    return gold.strip()


@lru_cache(maxsize=16384)
def gold_number(gold: str) -> Number | None:
    """The number in a gold answer, None if it is not a number."""
    return parse_number(gold_text(gold))


class Gsm8kRules:
    """Numbers only, compared exactly."""

    name = "gsm8k"

    def check_gold(self, gold: str) -> None:
        """A number, or a solution that ends in `#### number`."""
        if gold_number(gold) is None:
            raise InputError(f"the gold answer '{_short(gold)}' is not a number: expected e.g. 72 or 2.5")

    def text_equals(self, answers: Sequence[str], golds: Sequence[str]) -> list[bool]:
        """Exact comparison of numbers; anything else is wrong."""
        equal = []
        for answer, gold in zip(answers, golds, strict=True):
            number, target = parse_number(answer), gold_number(gold)
            equal.append(number is not None and target is not None and _is_final(number, target))
        return equal

    def value_equals(self, execution: Execution, gold: str) -> bool | None:
        """Typed comparison of numbers."""
        number, target = value_of(execution), gold_number(gold)
        return number is not None and target is not None and _is_final(number, target)


def _is_final(answer: Number, gold: Number) -> bool:
    """Whether an answer is the gold number in evaluated form: `144/2` and `7.2*10^1` are not yet 72."""
    return not answer.unevaluated and same_number(answer, gold)


class AimeRules(Gsm8kRules):
    """Whole numbers from 0 to 999."""

    name = "aime"

    def check_gold(self, gold: str) -> None:
        """A whole number from 0 to 999; leading zeros are fine."""
        if not _in_range(gold_number(gold)):
            raise InputError(
                f"the gold answer '{_short(gold)}' is not an AIME answer: expected an integer from 0 to 999"
            )


def _in_range(number: Number | None) -> bool:
    return (
        number is not None
        and not number.percent
        and number.value.denominator == 1
        and 0 <= number.value <= 999
    )


def _short(text: str) -> str:
    text = _WHITE.sub(" ", text[:400])
    return text if len(text) <= 60 else text[:57] + "..."


class MathRules:
    """Compares numbers exactly, typesetting by rule, and the rest by algebra in confined processes."""

    name = "math"

    def __init__(self) -> None:
        self._comparer: Comparer | None = None

    def check_gold(self, gold: str) -> None:
        """An answer in LaTeX or in words, or a solution that ends in one; braces must be balanced."""
        answer = gold_text(gold)
        reason = _why_no_gold(answer)
        if reason:
            raise InputError(
                f"the gold answer '{_short(gold)}' {reason}: expected one such as \\frac{{1}}{{2}}"
            )

    def text_equals(self, answers: Sequence[str], golds: Sequence[str]) -> list[bool]:
        """Equality of answers in LaTeX."""
        decided = [_decided(answer, gold) for answer, gold in zip(answers, golds, strict=True)]
        open_pairs = [
            (gold_text(gold), answer)
            for answer, gold, equal in zip(answers, golds, decided, strict=True)
            if equal is None
        ]
        if not open_pairs:
            return [bool(equal) for equal in decided]
        if self._comparer is None:
            self._comparer = Comparer()
            atexit.register(self._comparer.close)
        found = iter(self._comparer.equal(open_pairs))
        return [next(found) if equal is None else equal for equal in decided]

    def value_equals(self, execution: Execution, gold: str) -> bool | None:
        """Typed comparison if value and gold are numbers; entry by entry if the value is a list.

        Booleans are not answers. A Python list or tuple does not say whether mathematics would write a list,
        a set or a tuple: it is compared as whichever the gold answer is.
        """
        if execution.kind == "bool":
            return False
        number, target = value_of(execution), gold_number(gold)
        if number is not None and target is not None:
            return same_number(number, target)
        if execution.kind in ("int", "float", "decimal", "ratio"):
            return False if number is None else None
        if (spellings := _collection(execution)) is not None:
            return any(self.text_equals(spellings, [gold] * len(spellings)))
        return None


def _collection(execution: Execution) -> list[str] | None:
    """The list, the set and the tuple that a program's list or tuple may mean; None for other values."""
    text = execution.value.replace("\\left", "").replace("\\right", "").strip()
    if execution.kind not in ("other", "latex") or len(text) > MAX_CHARACTERS or text[:1] not in ("[", "("):
        return None
    if execution.kind == "latex":
        inside = text[1:-1]
    else:
        with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            inside = _entries(ast.literal_eval(text))
            return [inside, f"({inside})"]
        return None
    return [inside, f"({inside})"]


def _entries(value: Any) -> str:
    return ", ".join(
        f"({_entries(entry)})" if isinstance(entry, list | tuple) else str(entry) for entry in value
    )


def _why_no_gold(answer: str) -> str:
    """Why a text cannot be a gold answer of `math`; empty if it can."""
    if not answer or not normalized(answer):
        return "is empty"
    if len(answer) > MAX_CHARACTERS:
        return f"has {len(answer)} characters, more than the {MAX_CHARACTERS} an answer may have"
    if _NO_ANSWER.fullmatch(answer) or _VAGUE.search(answer):
        return "is not an answer that others could be compared with"
    opened = answer.replace("\\{", "").replace("\\}", "")
    if opened.count("{") != opened.count("}"):
        return "has braces that do not close"
    return ""


def _decided(answer: str, gold: str) -> bool | None:
    """What rules can say about two answers."""
    if len(answer) > MAX_CHARACTERS:
        return False
    number, target = parse_number(answer), gold_number(gold)
    if number is not None and target is not None and not ("=" in answer and "=" in gold):
        return same_number(number, target) and same_half_of_day(answer, gold)
    return equal_answers(answer, gold_text(gold), _UNDECIDED)


_rules: Registry[Rules] = Registry("rules", methods=("check_gold", "text_equals", "value_equals"))
for _named in (Gsm8kRules(), MathRules(), AimeRules()):
    _rules.register(_named.name, _named)


def register_rules(rules: Rules) -> Rules:
    """Add rules of comparison under their `name`.

    Raises:
        InputError: the name is taken, or a method is missing.
    """
    return _rules.register(rules.name, rules)


def get_rules(name: str) -> Rules:
    """The rules with that name.

    Raises:
        InputError: unknown name; the message lists the known ones.
    """
    return _rules.get(name)
