r"""Numbers written as text, read exactly.

`parse_number` accepts what people and models write for one number: signs,
thousands commas, `$`, LaTeX spacing and text units, decimals, repeating
decimals, fractions, mixed numbers, powers of ten, a preceding name or label. Anything else is None:
expressions, chains of equations, two numbers, words that change the value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

from echochamber.verify.spelling import MAX_CHARACTERS, ascii_signs, unwrapped

# Longer exponents would cost time and memory without ever being an answer.
_MAX_EXPONENT = 400
# A printed float of this many digits carries its rounding error with it.
FLOAT_DIGITS = 15
# Relative error of sums and products of binary floats: a few thousand units in the last place.
FLOAT_NOISE = Fraction(1, 10**12)
# How far a printed float may be, relatively, from a gold answer that may itself be rounded.
TOLERANCE = Fraction(1, 10**6)
_MAX_UNIT_WORDS = 12

_INTEGER = re.compile(r"-?[0-9]{1,15}")
_DECIMAL = r"(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)"
_PLAIN = re.compile(rf"(?P<sign>[-+]?)(?P<number>{_DECIMAL})(?:[eE](?P<exponent>[-+]?[0-9]{{1,4}}))?")
_RATIO = re.compile(rf"(?P<sign>[-+]?)(?P<top>{_DECIMAL}) ?/ ?(?P<bottom>[-+]?{_DECIMAL})")
_MIXED = re.compile(r"(?P<sign>[-+]?)(?P<whole>[0-9]++) (?P<top>[0-9]++) ?/ ?(?P<bottom>[0-9]++)")
_POWER = re.compile(
    rf"(?P<sign>[-+]?)(?P<number>{_DECIMAL}) ?(?:\\times|\\cdot|\*) ?10 ?(?:\^|\*\*) ?"
    r"\{?(?P<exponent>[-+]?[0-9]{1,4})\}?"
)
_REPEATING = re.compile(
    r"(?P<sign>[-+]?)(?P<whole>[0-9]*+)\.(?P<fixed>[0-9]*+)"
    r"(?:\\(?:overline|bar|dot) ?\{(?P<period>[0-9]++)\}|\((?P<round>[0-9]++)\))"
)

# Runs of digits with separators, each read once; whether they separate thousands is decided afterwards.
_COMMA_RUN = re.compile(r"(?<![0-9.,])[0-9][0-9,]*+")
_SPACE_RUN = re.compile(r"(?<![0-9.,])(?<![0-9] )[0-9][0-9 ]*+")
_BY_COMMAS = re.compile(r"[1-9][0-9]{0,2}(?:,[0-9]{3})++")
_BY_SPACES = re.compile(r"[1-9][0-9]{0,2}(?: [0-9]{3})++")
# A line break or a dollar sign between digits separates two numbers; a space may separate thousands.
_SEPARATES = re.compile(r"(?<=[0-9])(?= *+[$\n\r\t])[ $\n\r\t]++(?=[0-9])")
_THIN_THOUSANDS = re.compile(r"(?<=[0-9])\\[,;:] ?(?=[0-9]{3}(?![0-9]))")
_FRACTION = re.compile(
    r"\\[dtc]?frac ?"
    r"(?:\{([^{}]*)\} ?\{([^{}]*)\}|([0-9]) ?([0-9])|\{([^{}]*)\} ?([0-9])|([0-9]) ?\{([^{}]*)\})"
)
_TEXT = re.compile(r"\\(?:text[a-z]{0,8}|math[a-z]{2,3}|mbox|hbox|operatorname) ?\{([^{}]*)\}")
_SPACING = re.compile(r"\\[,;:! ]|\\(?:quad|qquad|left|right|displaystyle|limits)(?![a-zA-Z])|~")
_DEGREES = re.compile(r"\^ ?(?:\\circ|\{ ?\\circ ?\})|\\degrees?(?![a-zA-Z])")
_SPACED_SIGN = re.compile(r"([-+]) (?=[0-9.])")
# `x =`, `x_1 =`, `f(2) =`, `f^{-1}(x) =`, `\theta =`, `AB =`, or words: `Total =`, `Answer:`, `The total is`.
_NAME = re.compile(
    r"(?:\\?[a-zA-Z]{1,12}|\|[a-zA-Z]{1,3}\|)(?:_\{?[a-zA-Z0-9]{1,3}\}?)?'{0,2}"
    r"(?:\^\{?-1\}?)?(?:\([a-zA-Z0-9, ]{1,12}\))? ?"
)
_WORDS = re.compile(r"[a-zA-Z][a-zA-Z '-]{0,60}")
_PREFIX = re.compile(r"[-+]?[0-9./ ]*[0-9]\.?(?=[ °/]|$)")
_GLUED = re.compile(
    r"(?P<number>[-+]?[0-9./]*[0-9])"
    r"(?:[cmk]m|mi|ft|in|yd|[mk]?g|lbs?|oz|m?l|hrs?|min|mins|sec|mph|km/h|(?:[cmk]?m|ft|in|yd)\^ ?\{?[23]\}?)"
)
_UNIT_SIGNS = str.maketrans("/·*-,()[]", " " * 9)
_UNIT_WORD = re.compile(r"[a-zA-Z°µ][a-zA-Z']{0,23}\.?(?:\^\{?-?[0-9]\}?)?")
_LONE_POWER = re.compile(r" ?\^ ?(?=[{0-9-])")
_PERCENT_WORD = re.compile(r"\b(?:per ?cent(?:age)?|pct)\b")
# These change the number they follow, so they are not units.
_VALUE_WORDS = re.compile(
    r"\b(?:hundred|thousand|million|billion|trillion|dozens?|score|half|halves|(?:third|quarter|fourth|fifth|tenth)s?"
    r"|and|or|plus|minus|times|over|pi|not|no|remainder)\b",
    re.IGNORECASE,
)
_UNIT_LETTERS = frozenset("°gmsLhVWAJNKCF")


@dataclass(frozen=True, slots=True)
class Number:
    """One number read from text.

    Attributes:
        value: exact.
        percent: a percent sign or word followed it; the value is not divided by 100.
        rounded: it has so many digits that it must be a printed float.
        unevaluated: arithmetic that is still to be done (`144/2`, `7.2*10^1`), though it has this value.
    """

    value: Fraction
    percent: bool = False
    rounded: bool = False
    unevaluated: bool = False


def parse_number(text: str) -> Number | None:
    """The number that `text` spells, or None if it is not exactly one number."""
    if _INTEGER.fullmatch(text):
        return Number(Fraction(int(text)))
    if len(text) > MAX_CHARACTERS:
        return None
    return _parse(text)


def same_number(answer: Number, gold: Number) -> bool:
    """Exact equality, except for the last digits of a printed float.

    A percent sign must occur in the gold answer too. A printed float (15 digits or more) may be off by the
    error of binary arithmetic: `71.99999999999999` is 72. It may be off by a millionth from a gold answer
    that is not a whole number and may itself be rounded (`0.333333`).
    """
    if answer.percent and not gold.percent:
        return False
    if answer.value == gold.value:
        return True
    if not answer.rounded:
        return False
    error = abs(answer.value - gold.value)
    if gold.value.denominator == 1:
        return error <= FLOAT_NOISE * max(Fraction(1), abs(gold.value))
    return error <= TOLERANCE * abs(gold.value)


@lru_cache(maxsize=16384)
def _parse(text: str) -> Number | None:
    text, percent = _without_percent(_cleaned(text))
    number = _read(text)
    if number is None and (bare := _without_unit(text)):
        number = _read(bare)
        percent = percent or bool(_PERCENT_WORD.search(text))
    return replace(number, percent=percent) if number else None


def _cleaned(text: str) -> str:
    """The text without LaTeX markup that carries no value, and without a name or label before the number."""
    text = unwrapped(ascii_signs(text)).replace("\\%", "%").replace("\\$", "$")
    text = text.replace("{,}", ",").replace(",\\! ", ",").replace("\\!", "")
    text = _SEPARATES.sub(" | ", text).replace("$", " ")
    if "\\" in text:
        # `1\,234` separates thousands.
        text = _SPACING.sub(" ", thin_thousands(text))
        text = _DEGREES.sub(" degrees", text)
        text = _TEXT.sub(r" \1 ", text)
        text = _FRACTION.sub(_as_ratio, text)
    text = unwrapped(_unlabeled(unwrapped(" ".join(text.split()))))
    if text[:1] == "(" and text[-1:] == ")" and text.count("(") == 1:
        text = text[1:-1].strip()
    if sign := _SPACED_SIGN.match(text):
        text = sign[1] + text[2:]
    return _SPACE_RUN.sub(_by_spaces, joined_thousands(text))


def _unlabeled(text: str) -> str:
    """The text after `x =`, `Total =`, `Answer:` or `The answer is`; the whole text if there is none."""
    for sign in ("=", ":", " is ", " are "):
        label, found, value = text.partition(sign)
        if found and sign not in value and "=" not in value:
            label = label.strip()
            if _WORDS.fullmatch(label) or (sign == "=" and _NAME.fullmatch(label)):
                return value.strip()
    return text


def joined_thousands(text: str) -> str:
    """`1,234` as `1234`, wherever a run of digits and commas can be one number."""
    return _COMMA_RUN.sub(_by_commas, text)


def thin_thousands(text: str) -> str:
    r"""`1\,234` as `1234`."""
    return _THIN_THOUSANDS.sub("", text)


def has_value_words(text: str) -> bool:
    """Whether a text contains words that change the number before them, so that it is not a unit."""
    return bool(_VALUE_WORDS.search(text))


def _by_commas(found: re.Match[str]) -> str:
    return found[0].replace(",", "") if _BY_COMMAS.fullmatch(found[0]) else found[0]


def _by_spaces(found: re.Match[str]) -> str:
    run = found[0].rstrip()
    return run.replace(" ", "") + found[0][len(run) :] if _BY_SPACES.fullmatch(run) else found[0]


def _as_ratio(found: re.Match[str]) -> str:
    top, bottom = [part for part in found.groups() if part is not None]
    before = found.string[: found.start()].rstrip()
    joint = " " if before and before[-1].isdigit() else ""
    return f"{joint}{top.strip()}/{bottom.strip()}"


def _without_percent(text: str) -> tuple[str, bool]:
    if text.endswith("%"):
        return text[:-1].rstrip(), True
    return text, False


def _without_unit(text: str) -> str:
    """The text without its trailing unit; empty if it has none.

    A unit is words after a space, or one of a few well-known units without one; `3x` and `18j` have none.
    """
    if glued := _GLUED.fullmatch(text):
        return glued["number"]
    prefix = _PREFIX.match(text)
    if not prefix:
        return ""
    unit = text[prefix.end() :]
    words = _LONE_POWER.sub("^", unit).translate(_UNIT_SIGNS).split()
    if not words or len(words) > _MAX_UNIT_WORDS or not all(map(_UNIT_WORD.fullmatch, words)):
        return ""
    if _VALUE_WORDS.search(unit):
        return ""
    if len(words) == 1 and len(words[0]) == 1 and words[0] not in _UNIT_LETTERS:
        return ""
    return prefix[0].strip()


def _read(text: str) -> Number | None:
    """A number in plain notation."""
    if match := _PLAIN.fullmatch(text):
        return _scaled(match)
    if match := _RATIO.fullmatch(text):
        return _ratio(match)
    if match := _MIXED.fullmatch(text):
        top, bottom = int(match["top"]), int(match["bottom"])
        value = int(match["whole"]) + Fraction(top, bottom) if top < bottom else None
        return Number(-value if match["sign"] == "-" else value) if value is not None else None
    if match := _REPEATING.fullmatch(text):
        return _repeating(match)
    if (match := _POWER.fullmatch(text)) and (number := _scaled(match)):
        return replace(number, unevaluated=True)
    return None


def _ratio(match: re.Match[str]) -> Number | None:
    """A fraction of whole numbers is a number unless its value is whole: `144/2` is yet to be divided."""
    bottom = Fraction(match["bottom"])
    if not bottom:
        return None
    value = Fraction(match["sign"] + match["top"]) / bottom
    is_division = value.denominator == 1 or "." in match["top"] or "." in match["bottom"]
    return Number(value, unevaluated=is_division)


def _repeating(match: re.Match[str]) -> Number:
    fixed, period = match["fixed"], match["period"] or match["round"]
    value = Fraction(int(match["whole"] + fixed or 0), 10 ** len(fixed))
    value += Fraction(int(period), (10 ** len(period) - 1) * 10 ** len(fixed))
    return Number(-value if match["sign"] == "-" else value)


def _scaled(match: re.Match[str]) -> Number | None:
    exponent = int(match["exponent"] or 0)
    if abs(exponent) > _MAX_EXPONENT:
        return None
    digits = match["number"]
    value = Fraction(match["sign"] + digits) * Fraction(10) ** exponent
    significant = len(digits.replace(".", "").lstrip("0"))
    return Number(value, rounded="." in digits and significant >= FLOAT_DIGITS)
