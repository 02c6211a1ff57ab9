r"""Numbers written as text, read exactly.

`parse_number` accepts what people and models write for one number: signs,
thousands commas, `$`, LaTeX spacing and text units, decimals, fractions,
mixed numbers, powers of ten. Anything else is None: expressions, chains of
equations, two numbers, words that change the value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

MAX_CHARACTERS = 400
# Longer exponents would cost time and memory without ever being an answer.
_MAX_EXPONENT = 400
# A printed float of this many digits carries its rounding error with it.
_FLOAT_DIGITS = 15

_INTEGER = re.compile(r"-?[0-9]{1,15}")
_GROUPED = re.compile(r"(?<![0-9.])[0-9]{1,3}(?:,[0-9]{3})+(?![0-9,])")
_SPACED = re.compile(r"(?<![0-9.])([0-9]{1,3}(?: [0-9]{3})+)(?![0-9])")
_DECIMAL = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_PLAIN = re.compile(rf"(?P<sign>[-+]?)(?P<number>{_DECIMAL})(?:[eE](?P<exponent>[-+]?[0-9]{{1,4}}))?")
_RATIO = re.compile(rf"(?P<sign>[-+]?)(?P<top>{_DECIMAL}) ?/ ?(?P<bottom>[-+]?{_DECIMAL})")
_MIXED = re.compile(r"(?P<sign>[-+]?)(?P<whole>[0-9]+)(?: |\+| \+ )(?P<top>[0-9]+) ?/ ?(?P<bottom>[0-9]+)")
_POWER = re.compile(
    rf"(?P<sign>[-+]?)(?P<number>{_DECIMAL}) ?(?:\\times|\\cdot|\*|×) ?10 ?(?:\^|\*\*) ?"
    r"\{?(?P<exponent>[-+]?[0-9]{1,4})\}?"
)
_FRACTION = re.compile(
    r"\\[dtc]?frac ?"
    r"(?:\{([^{}]*)\} ?\{([^{}]*)\}|([0-9]) ?([0-9])|\{([^{}]*)\} ?([0-9])|([0-9]) ?\{([^{}]*)\})"
)
_TEXT = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox|hbox|operatorname) ?\{([^{}]*)\}")
_SPACING = re.compile(r"\\[,;:! ]|\\(?:quad|qquad|left|right|displaystyle|limits)(?![a-zA-Z])|~")
_ASSIGNMENT = re.compile(
    r"^(?:\\?[a-zA-Z]{1,12}|[a-zA-Z]_\{?\w{1,3}\}?|[a-zA-Z]\([a-zA-Z0-9]{1,3}\)) ?= ?(?=[^=]*$)"
)
_UNIT = re.compile(
    r"(?P<space> ?)(?P<words>(?:[a-zA-Z°µ]+\.?(?: ?\^ ?\{?[-0-9]+\}?|[²³])?(?: ?[/·*-] ?| |, ?)?)+)$"
)
# These change the number they follow, so they are no units.
_VALUE_WORDS = re.compile(
    r"\b(?:hundred|thousand|million|billion|trillion|dozens?|score|half|halves|(?:third|quarter|fourth|fifth|tenth)s?"
    r"|and|or|plus|minus|times|over|pi)\b",
    re.IGNORECASE,
)
_UNIT_LETTERS = frozenset("°gmsLhVWAJNK")


@dataclass(frozen=True, slots=True)
class Number:
    """One number read from text.

    Attributes:
        value: exact.
        percent: a percent sign or word followed it; the value is not divided by 100.
        rounded: so many digits that it must be a printed float.
    """

    value: Fraction
    percent: bool = False
    rounded: bool = False


def parse_number(text: str) -> Number | None:
    """The number that `text` writes, or None if it is not exactly one number."""
    if _INTEGER.fullmatch(text):
        return Number(Fraction(int(text)))
    if len(text) > MAX_CHARACTERS:
        return None
    return _parse(text)


@lru_cache(maxsize=16384)
def _parse(text: str) -> Number | None:
    text, percent = _without_percent(_cleaned(text))
    number = _read(text)
    if number is None:
        number = _read(_without_unit(text))
        if number is not None and not percent:
            percent = bool(re.search(r"\bper ?cent(?:age)?\b", text))
    return Number(number.value, percent, number.rounded) if number else None


def _cleaned(text: str) -> str:
    """LaTeX markup that carries no value removed."""
    text = text.strip().replace("−", "-").replace("–", "-").replace("\\%", "%").replace("\\$", "$")
    text = text.replace("{,}", ",").replace("\\!", "").replace("\u202f", " ").replace("\xa0", " ")
    text = text.removeprefix("\\(").removesuffix("\\)").removeprefix("\\[").removesuffix("\\]")
    text = text.replace("$", " ").replace("£", " ").replace("€", " ")
    if "\\" in text:
        # `1\,234` separates thousands.
        text = re.sub(r"(?<=[0-9])\\[,;:] ?(?=[0-9]{3}(?![0-9]))", "", text)
        text = _SPACING.sub(" ", text)
        text = re.sub(r"\^ ?(?:\\circ|\{ ?\\circ ?\})|\\(?:degree|degrees)(?![a-zA-Z])", " degrees", text)
        text = _TEXT.sub(r" \1 ", text)
        text = _FRACTION.sub(_as_ratio, text)
    text = " ".join(text.split())
    while len(text) > 1 and text[0] == "{" and text[-1] == "}":
        text = text[1:-1].strip()
    text = _ASSIGNMENT.sub("", text)
    text = re.sub(r"^([-+]) (?=[0-9.])", r"\1", text)
    if text.endswith(".") and not text.endswith(".."):
        text = text[:-1].rstrip()
    return _SPACED.sub(lambda match: match[0].replace(" ", ""), _GROUPED.sub(_ungrouped, text))


def _ungrouped(match: re.Match[str]) -> str:
    return match[0].replace(",", "")


def _as_ratio(match: re.Match[str]) -> str:
    top, bottom = [part for part in match.groups() if part is not None]
    before = match.string[: match.start()].rstrip()
    joint = " " if before and before[-1].isdigit() else ""
    return f"{joint}{top.strip()}/{bottom.strip()}"


def _without_percent(text: str) -> tuple[str, bool]:
    if text.endswith("%"):
        return text[:-1].rstrip(), True
    return text, False


def _without_unit(text: str) -> str:
    """A trailing unit removed: words after a space, never a letter glued to the number."""
    match = re.match(r"[-+]?[0-9./ ]*[0-9]\.?(?=[ °]|$)", text)
    if not match:
        return ""
    unit = _UNIT.fullmatch(text[match.end() :])
    if not unit:
        return ""
    words = re.findall(r"[a-zA-Z°µ]+", unit["words"])
    if _VALUE_WORDS.search(unit["words"]):
        return ""
    if len(words) == 1 and len(words[0]) == 1 and words[0] not in _UNIT_LETTERS:
        return ""
    return match[0].strip()


def _read(text: str) -> Number | None:
    """A number in plain notation."""
    if match := _PLAIN.fullmatch(text):
        return _scaled(match)
    if match := _RATIO.fullmatch(text):
        bottom = Fraction(match["bottom"])
        return Number(Fraction(match["sign"] + match["top"]) / bottom) if bottom else None
    if match := _MIXED.fullmatch(text):
        bottom = Fraction(match["bottom"])
        if not bottom:
            return None
        value = int(match["whole"]) + Fraction(match["top"]) / bottom
        return Number(-value if match["sign"] == "-" else value)
    if match := _POWER.fullmatch(text):
        return _scaled(match)
    return None


def _scaled(match: re.Match[str]) -> Number | None:
    exponent = int(match["exponent"] or 0)
    if abs(exponent) > _MAX_EXPONENT:
        return None
    digits = match["number"]
    value = Fraction(match["sign"] + digits) * Fraction(10) ** exponent
    significant = len(digits.replace(".", "").lstrip("0"))
    return Number(value, rounded="." in digits and significant >= _FLOAT_DIGITS)
