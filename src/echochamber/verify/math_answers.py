r"""Mathematical answers as LaTeX: what can be decided by rule, and what is left to a computer algebra system.

The rules mend known mistakes of math-verify 0.9.0, which takes `50\%` for 50,
`18j` and `17=18` for 18, the first number of a sentence for its answer, and
does not know `\boxed{18 dollars}` or `3 1/2`.
"""

from __future__ import annotations

import re

from echochamber.verify.answers import parse_number

_COMMANDS = (
    (re.compile(r"\\(?:left|right|displaystyle|limits|bigl?|bigr?|Bigl?|Bigr?)(?![a-zA-Z])"), ""),
    (re.compile(r"\\[dtc]frac(?![a-zA-Z])"), r"\\frac"),
    (re.compile(r"(?<!\\)\\[!,;: ]|\\(?:quad|qquad)(?![a-zA-Z])|~"), " "),
    (re.compile(r"\^ ?\{? ?\\circ ?\}?|\\degrees?(?![a-zA-Z])|°"), ""),
    (re.compile(r"\\(?:text|mathrm|mbox) ?\{ ?(?:and|or) ?\}"), ","),
    (re.compile(r"\\(?:text[a-z]*|math(?:rm|bf|it|sf)|mbox|hbox|operatorname) ?\{([^{}]*)\}"), r" \1 "),
    (re.compile(r"\\(?:le|leqslant)(?![a-zA-Z])"), r"\\leq"),
    (re.compile(r"\\(?:ge|geqslant)(?![a-zA-Z])"), r"\\geq"),
    (re.compile(r"\\(?:lbrace|rbrace)(?![a-zA-Z])"), lambda match: "\\{" if match[0][1] == "l" else "\\}"),
    (re.compile(r"\\frac ?([0-9a-zA-Z]) ?([0-9a-zA-Z])"), r"\\frac{\1}{\2}"),
    (re.compile(r"\\frac ?([0-9a-zA-Z]) ?\{"), r"\\frac{\1}{"),
    (re.compile(r"\\sqrt ?([0-9a-zA-Z])"), r"\\sqrt{\1}"),
    (re.compile(r"([_^]) ?\{ ?([0-9a-zA-Z]) ?\}"), r"\1\2"),
)  # fmt: skip
_MEMBER = re.compile(r"^ ?[a-zA-Z] ?\\in(?![a-zA-Z]) ?")
_ASSIGNED = re.compile(
    r"^ ?(?:[a-zA-Z](?:_[0-9a-zA-Z])?|[a-zA-Z] ?\( ?[a-zA-Z] ?\)|\\[a-zA-Z]{2,7}) ?= ?(?=[^=]*$)"
)
_LETTERS = re.compile(r"[a-zA-Z]{2,}")
_COMMAND_WORD = re.compile(r"\\[a-zA-Z]+")
_CHOICE = re.compile(r"^\(?([A-Z])\)?$")
_BASED = re.compile(r"^([0-9A-Z]+)_\{?[0-9]+\}?$")
_IMAGINARY_J = re.compile(r"[0-9] ?j(?![a-zA-Z])")


def normalized(text: str) -> str:
    """The same answer with one spelling for everything that only concerns typesetting."""
    text = (
        text.strip()
        .replace("−", "-")
        .replace("\\%", "%")
        .replace("\\$", "")
        .replace("$", "")
        .replace("{,}", ",")
    )
    for pattern, replacement in _COMMANDS:
        text = pattern.sub(replacement, text)
    text = " ".join(text.split()).strip(" .,;")
    while _is_group(text):
        text = text[1:-1].strip()
    text = _MEMBER.sub("", text)
    if "," in text and "=" in text:
        text = ", ".join(_ASSIGNED.sub("", part) for part in _split(text))
    return _ASSIGNED.sub("", text)


def _is_group(text: str) -> bool:
    """Whether one pair of braces holds the whole text."""
    if not (text.startswith("{") and text.endswith("}")):
        return False
    depth = 0
    for position, character in enumerate(text):
        if character in "{}" and text[position - 1 : position] != "\\":
            depth += 1 if character == "{" else -1
            if depth == 0:
                return position == len(text) - 1
    return False


def _split(text: str) -> list[str]:
    """Parts between commas that stand outside brackets."""
    parts, depth, start = [], 0, 0
    for position, character in enumerate(text):
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == "," and depth <= 0:
            parts.append(text[start:position].strip())
            start = position + 1
    return [*parts, text[start:].strip()]


def decide(answer: str, gold: str, same_number: bool | None) -> bool | None:
    """Equal or not by rule, or None if only algebra can tell.

    Args:
        same_number: whether both are numbers and equal; None if one of them is no number.
    """
    if same_number is not None:
        return same_number
    answer, gold = normalized(answer), normalized(gold)
    tight_answer, tight_gold = answer.replace(" ", ""), gold.replace(" ", "")
    if tight_answer == tight_gold:
        return True
    if not tight_answer:
        return False
    choice = _CHOICE.match(tight_gold)
    if choice and (given := _CHOICE.match(tight_answer)):
        return given[1] == choice[1]
    based = _BASED.match(tight_gold)
    if based:
        # The question names the base; an answer with another base differs.
        return tight_answer == based[1]
    if "=" in tight_answer and "=" not in tight_gold:
        return False
    if _IMAGINARY_J.search(answer) and not _IMAGINARY_J.search(gold):
        return False
    if ("%" in answer) != ("%" in gold):
        return False
    return _decide_words(answer, gold)


def _decide_words(answer: str, gold: str) -> bool | None:
    """Words decide by themselves: algebra would overlook them."""
    words, gold_words = (_LETTERS.findall(_COMMAND_WORD.sub(" ", text)) for text in (answer, gold))
    if gold_words and not re.search(r"[0-9\\]", gold):
        return [word.lower() for word in words] == [word.lower() for word in gold_words]
    number = parse_number(gold)
    if number is not None and ("," in answer or _unknown_words(words, gold_words)):
        return False
    return None


def _unknown_words(words: list[str], gold_words: list[str]) -> bool:
    known = {word.lower() for word in gold_words}
    return any(word.lower() not in known and len(word) > 2 for word in words)
