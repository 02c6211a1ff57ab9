r"""Mathematical answers in LaTeX: one spelling for all variants of typesetting, and rules for single values.

The rules correct known mistakes of math-verify 0.9.0, which takes `50\%` for 50,
`18j` and `17=18` for 18, the first number of a sentence for its answer, and
does not know `\boxed{18 dollars}` or `3 1/2`. What an answer is made of (a
list, an interval, an equation) is read in `math_forms`, compared in `math_equality`.
"""

from __future__ import annotations

import re
from functools import lru_cache

from echochamber.verify.answers import Number, has_value_words, parse_number, same_number, thin_thousands
from echochamber.verify.spelling import MAX_CHARACTERS, ascii_signs, unwrapped

_WORD_COMMANDS = r"\\(?:text[a-z]{0,8}|math(?:rm|bf|it|sf)|mbox|hbox|operatorname)"
_BASE_WORDS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "twelve", "sixteen")
_BASES = dict(zip(_BASE_WORDS, ("2", "3", "4", "5", "6", "7", "8", "9", "10", "12", "16"), strict=True))
_BASE = rf"(?:[0-9]{{1,2}}|{'|'.join(_BASES)})"
# One spelling for each notation, applied in this order: later rows rely on earlier ones.
_COMMANDS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?<=[0-9])(?:\{,\}|,\\!) ?(?=[0-9]{3}(?![0-9]))"), ""),
    (re.compile(r"\\(?:left|right|displaystyle|limits|bigl?|bigr?|Bigl?|Bigr?)(?![a-zA-Z])"), ""),
    (re.compile(r"\\[dtc]frac(?![a-zA-Z])"), r"\\frac"),
    (re.compile(r"(?<!\\)\\[!,;: ]|\\(?:quad|qquad)(?![a-zA-Z])|~"), " "),
    (re.compile(r"\^ ?\{? ?\\circ ?\}?|\\degrees?(?![a-zA-Z])"), ""),
    (re.compile(_WORD_COMMANDS + r" ?\{ ?(?:and|or) ?\}"), " , "),
    (re.compile(_WORD_COMMANDS + r" ?\{([^{}]*)\}"), r" \1 "),
    (re.compile(r"(?<![a-zA-Z\\])(?:and|or)(?![a-zA-Z])"), ","),
    (re.compile(r"\\(?:le|leqslant)(?![a-zA-Z])|<=|=<"), r"\\leq "),
    (re.compile(r"\\(?:ge|geqslant)(?![a-zA-Z])|>="), r"\\geq "),
    (re.compile(r"\\ne(?![a-zA-Z])|!=|\\not ?="), r"\\neq "),
    (re.compile(r"\\lt(?![a-zA-Z])"), "<"),
    (re.compile(r"\\gt(?![a-zA-Z])"), ">"),
    (re.compile(r"\\lbrace(?![a-zA-Z])"), r"\\{"),
    (re.compile(r"\\rbrace(?![a-zA-Z])"), r"\\}"),
    (re.compile(r"\\langle(?![a-zA-Z])"), "("),
    (re.compile(r"\\rangle(?![a-zA-Z])"), ")"),
    (re.compile(r"\\varnothing(?![a-zA-Z])|\\\{ ?\\\}"), r"\\emptyset"),
    (re.compile(r"\*\*"), "^"),
    (re.compile(r"\^ ?\(([^()]*)\)"), r"^{\1}"),
    (re.compile(r"(?<![a-zA-Z\\])(?=(?:sqrt|pi|theta|infty)(?![a-zA-Z]))"), r"\\"),
    (re.compile(r"(?<![a-zA-Z\\])(?:infinity|oo)(?![a-zA-Z])"), r"\\infty"),
    (re.compile(r"\+ ?\\infty"), r"\\infty"),
    (re.compile(r"\\frac ?([0-9a-zA-Z]) ?([0-9a-zA-Z])"), r"\\frac{\1}{\2}"),
    (re.compile(r"\\frac ?([0-9a-zA-Z]) ?\{"), r"\\frac{\1}{"),
    (re.compile(r"(\\frac ?\{[^{}]*\}) ?([0-9a-zA-Z])"), r"\1{\2}"),
    (re.compile(r"\\sqrt ?\(([^()]*)\)"), r"\\sqrt{\1}"),
    (re.compile(r"\\sqrt ?([0-9a-zA-Z])"), r"\\sqrt{\1}"),
    (re.compile(r"([_^]) ?\{ ?([0-9a-zA-Z]) ?\}"), r"\1\2"),
)  # fmt: skip
# `2516_{\text{eight}}`, `2516 (base 8)`.
_NAMED_BASE = re.compile(
    rf"_ ?\{{ *+(?:base *+)?(?P<low>{_BASE}) *+\}}"
    rf"|(?<=[0-9A-Z]) *+\(? *+base *+(?P<named>{_BASE})\b *+\)?"
)
# A unit after an answer: `3\sqrt{13} \text{ cm}^2`.
_UNIT = re.compile(_WORD_COMMANDS + r" ?\{ ?(?P<words>[a-zA-Z .°/]{1,40})\}(?: ?\^ ?(?:[0-9]|\{[0-9]\}))?$")
_NO_UNITS = frozenset(("am", "pm", "a.m.", "p.m."))
_OPEN_ENDS = ("=", "<", ">", "+", "-", ",", "(", "[", "\\in", "{")

_LETTERS = re.compile(r"[a-zA-Z]{2,}")
_COMMAND_WORD = re.compile(r"\\[a-zA-Z]++")
_MATHEMATICS = re.compile(r"[0-9\\]")
_SPACE = re.compile(r"(?<![0-9]) | (?![0-9])")
_CLOCK = re.compile(r"(?<![a-zA-Z])([ap])\.?m(?![a-zA-Z])", re.IGNORECASE)
_CHOICE = re.compile(r"[A-Z]")
# A choice with what it says: `(B) 12`.
_CHOICE_WITH_TEXT = re.compile(r"\(([A-Z])\)[^()=]*")
_BASED = re.compile(r"\(?(?P<digits>[0-9A-Z]{1,64})\)?_\{?(?P<base>[0-9]{1,2})\}?")
_IMAGINARY_J = re.compile(r"[0-9] ?j(?![a-zA-Z])")
# A power of a power of numbers, or one with many digits: evaluating it may take forever.
_TOWER = re.compile(r"\^ ?\{ ?[0-9]{1,12} ?\^|\^ ?[0-9] ?\^|\^ ?\{? ?-?[0-9]{5}|[0-9]{5} ?!|! ?!")
_MAX_NESTING = 16
# Words that algebra knows, or that build a matrix.
_FUNCTIONS = frozenset((
    "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "log", "exp", "max", "min",
    "gcd", "lcm", "mod",
    "abs", "det", "begin", "end", "pmatrix", "bmatrix", "vmatrix", "array", "matrix", "ccc",
))  # fmt: skip


@lru_cache(maxsize=16384)
def normalized(text: str) -> str:
    """The same answer with a single spelling for all variants of typesetting.

    A text longer than `MAX_CHARACTERS` is not an answer and is returned unchanged.
    """
    if len(text) > MAX_CHARACTERS:
        return text
    text = unwrapped(ascii_signs(text)).replace("\\%", "%").replace("\\$", "").replace("$", "")
    text = _without_unit(thin_thousands(text))
    for pattern, replacement in _COMMANDS:
        text = pattern.sub(replacement, text)
    text = _NAMED_BASE.sub(_based, text)
    text = unwrapped(" ".join(text.split()))
    return text.strip(" ,;").removesuffix(".").strip()


def _based(found: re.Match[str]) -> str:
    base = found["low"] or found["named"]
    return f"_{{{_BASES.get(base, base)}}}"


def _without_unit(text: str) -> str:
    unit = _UNIT.search(text)
    if unit is None or has_value_words(unit["words"]) or unit["words"].strip().lower() in _NO_UNITS:
        return text
    before = text[: unit.start()].rstrip(" \\,;:!")
    return before if before and not before.endswith(_OPEN_ENDS) and ":" not in before else text


def tight(text: str) -> str:
    """A normalized text without meaningless spaces; one between two digits is kept."""
    return _SPACE.sub("", text)


def same_value(answer: str, gold: str) -> bool | None:
    """Whether two single values, normalized, are equal by rule; None if only algebra can tell."""
    if tight(answer) == tight(gold):
        return True
    if ":" in answer + gold:
        return tight(answer).lower() == tight(gold).lower()
    if not answer or not same_half_of_day(answer, gold):
        return False
    number, target = parse_number(answer), parse_number(gold)
    if number is not None and target is not None:
        return same_number(number, target)
    if _CHOICE.fullmatch(gold):
        if _CHOICE.fullmatch(answer):
            return False
        if choice := _CHOICE_WITH_TEXT.fullmatch(answer):
            return choice[1] == gold
    based, gold_based = _read_based(answer), _read_based(gold)
    if based or gold_based:
        return _same_based(based, gold_based, number, target)
    if _IMAGINARY_J.search(answer) and not _IMAGINARY_J.search(gold):
        return False
    if ("%" in answer) != ("%" in gold):
        return False
    if (_TOWER.search(answer) and not _TOWER.search(gold)) or not _is_balanced(answer):
        return False
    return _decided_by_words(answer, gold, target)


def same_half_of_day(answer: str, gold: str) -> bool:
    """Whether it is not the case that one says `am` and the other `pm`."""
    if answer.isdigit() or gold.isdigit():
        return True
    halves = [found[1].lower() for text in (answer, gold) if (found := _CLOCK.search(text))]
    return len(set(halves)) < 2


def _read_based(text: str) -> tuple[str, int] | None:
    """(digits, base) of a number such as `2516_8`; None for a name with an index (`A_1`)."""
    found = _BASED.fullmatch(tight(text))
    if not found:
        return None
    base = int(found["base"])
    if not 2 <= base <= 36 or any(int(digit, 36) >= base for digit in found["digits"]):
        return None
    return found["digits"].lstrip("0"), base


def _same_based(
    based: tuple[str, int] | None,
    gold_based: tuple[str, int] | None,
    number: Number | None,
    target: Number | None,
) -> bool:
    """A number without a base is decimal, so digits alone are not a number in another base."""
    if based and gold_based:
        return based == gold_based
    (digits, base), plain = (based, target) if based else (gold_based, number)  # type: ignore[misc]
    return base == 10 and plain is not None and plain.value == int(digits or "0")


def _is_balanced(text: str) -> bool:
    """Whether brackets close and are nested no deeper than in real answers."""
    for opening, closing in ("()", "[]", "{}"):
        depth = deepest = 0
        for sign in text:
            depth += (sign == opening) - (sign == closing)
            deepest = max(deepest, depth)
            if depth < 0:
                return False
        if depth or deepest > _MAX_NESTING:
            return False
    return True


def _decided_by_words(answer: str, gold: str, target: Number | None) -> bool | None:
    """Whether the words agree, which is compared separately because algebra would overlook them."""
    words, gold_words = (_LETTERS.findall(_COMMAND_WORD.sub(" ", text)) for text in (answer, gold))
    if gold_words and not _MATHEMATICS.search(gold):
        return [word.lower() for word in words] == [word.lower() for word in gold_words]
    known = {word.lower() for word in gold_words} | _FUNCTIONS
    unknown = [word for word in words if word.lower() not in known and len(word) > 2]
    if unknown and (target is not None or any(not set(word) <= set(gold) for word in unknown)):
        return False
    return None
