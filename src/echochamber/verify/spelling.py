r"""One spelling for answers as people and models type them: Unicode symbols, markup around an answer.

Nothing here knows what an answer means. Every function is total; none looks
at more than `MAX_CHARACTERS`, so that no text can make it slow.
"""

from __future__ import annotations

import re
import unicodedata

# Answers are short. A longer text is not an answer and is compared with nothing.
MAX_CHARACTERS = 400
_MAX_WRAPPERS = 12

_SPELLED = {
    "\\times ": "×✕",
    "\\cdot ": "·⋅∙",
    "/": "÷⁄∕",
    "-": "−–—‒‐‑﹣",
    "\\infty ": "∞",
    "\\leq ": "≤≦⩽",
    "\\geq ": "≥≧⩾",
    "\\neq ": "≠",
    "\\approx ": "≈",
    "\\pm ": "±",
    "\\mp ": "∓",
    "\\cup ": "∪",
    "\\cap ": "∩",
    "\\in ": "∈",
    "\\emptyset ": "∅",
    "^\\circ ": "°º",
    "\\ldots ": "…",
    "'": "′’",
    ",": "、٬",
    ".": "。٫",
    "$": "£€¥₹￥￡",
}
_GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "θ": "theta", "λ": "lambda", "μ": "mu", "π": "pi",
    "ρ": "rho", "σ": "sigma", "φ": "phi", "ϕ": "phi", "ω": "omega",
}  # fmt: skip
_FRACTIONS = {
    "½": (1, 2), "⅓": (1, 3), "⅔": (2, 3), "¼": (1, 4), "¾": (3, 4), "⅕": (1, 5), "⅖": (2, 5), "⅗": (3, 5),
    "⅘": (4, 5), "⅙": (1, 6), "⅚": (5, 6), "⅛": (1, 8), "⅜": (3, 8), "⅝": (5, 8), "⅞": (7, 8),
}  # fmt: skip
_SMALL = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻₀₁₂₃₄₅₆₇₈₉₊₋", "0123456789+-0123456789+-")
_RAISED = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]++")
_LOWERED = re.compile("[₀₁₂₃₄₅₆₇₈₉₊₋]++")
_ROOT = re.compile(r"(?P<degree>[√∛]) ?(?:\((?P<group>[^()√∛]*)\)|(?P<token>[0-9.]++|[a-zA-Z]))")
# What a tokenizer may leave after the last word.
_END_TOKEN = re.compile(r"</?(?:s|eos|bos|pad|end_of_turn|unk)>|<\|[a-z_]{1,24}\|>|\[/?(?:INST|EOS)\]")
_PAIRS = (
    ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("__", "__"), ("_", "_"), ('"', '"'), ("“", "”"),
)  # fmt: skip
# Marks of emphasis, even where the answer line cuts off their other half.
_MARKS = "*`#"
_GROUP_COMMANDS = ("\\boxed", "\\fbox", "\\framebox", "\\displaystyle", "")


class _Signs(dict[int, str]):
    """A table for `str.translate` that covers digits of every script, full-width and invisible characters."""

    def __missing__(self, code: int) -> str:
        sign = chr(code)
        if code < 128:
            return sign
        if 0xFF01 <= code <= 0xFF5E:
            return chr(code - 0xFEE0)
        if (digit := unicodedata.decimal(sign, None)) is not None:
            return str(digit)
        if 0x1D400 <= code <= 0x1D7FF:
            return unicodedata.normalize("NFKC", sign)
        category = unicodedata.category(sign)
        return "" if category == "Cf" else " " if category == "Zs" else sign


_SIGNS = _Signs({ord(sign): spelling for spelling, signs in _SPELLED.items() for sign in signs})
_SIGNS |= {ord(sign): f"\\{name} " for sign, name in _GREEK.items()}
_SIGNS |= {ord(sign): f"\\frac{{{top}}}{{{bottom}}}" for sign, (top, bottom) in _FRACTIONS.items()}


def ascii_signs(text: str) -> str:
    r"""Unicode's mathematical symbols as LaTeX (`√3`, `x²`, `≤`, `½`), digits of any script as 0 to 9.

    Invisible marks (direction marks, joiners) are dropped, and spaces of any width become one space.
    """
    if text.isascii():
        return text
    text = _RAISED.sub(lambda found: f"^{{{found[0].translate(_SMALL)}}}", text)
    text = _LOWERED.sub(lambda found: f"_{{{found[0].translate(_SMALL)}}}", text)
    return _ROOT.sub(_root, text.translate(_SIGNS))


def _root(found: re.Match[str]) -> str:
    inside = found["group"] if found["group"] is not None else found["token"]
    return f"\\sqrt{'[3]' if found['degree'] == '∛' else ''}{{{inside}}}"


def unwrapped(text: str) -> str:
    r"""An answer without the markup around it: `$..$`, `**..**`, `\boxed{..}`, a period, `</s>`."""
    for _ in range(_MAX_WRAPPERS):
        inside = _without_wrapper(text.strip())
        if inside == text:
            break
        text = inside
    return text


def _without_wrapper(text: str) -> str:
    if text[-1:] in (">", "]"):
        *_, last = [None, *_END_TOKEN.finditer(text)]
        if last is not None and last.end() == len(text):
            return text[: last.start()].rstrip()
    if text[-1:] in (",", ";") or (text.endswith(".") and not text.endswith("..")):
        return text[:-1].rstrip()
    if (bare := text.strip(_MARKS)) != text and not any(mark in bare for mark in _MARKS):
        return bare.strip()
    for start, end in _PAIRS:
        if text.startswith(start) and text.endswith(end) and len(text) >= len(start) + len(end):
            inside = text[len(start) : len(text) - len(end)]
            # `$2$ and $3$` is two pieces of mathematics.
            if start not in inside and (end == start or end not in inside):
                return inside.strip()
    for command in _GROUP_COMMANDS:
        if text.startswith(command) and is_group(rest := text[len(command) :].lstrip()):
            return rest[1:-1].strip()
    return text


def is_group(text: str) -> bool:
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
