"""When two problems are the same: by their text, and by their structure.

**Text.** Questions are compared after folding what no reader would consider a difference: letter case, white
space, sentence punctuation and quotes, typographic variants of one character (NFKC; `×` and `*`, `−` and
`-`), and the commas of thousands. What distinguishes problems stays: operators and signs, decimal points,
exponents, brackets, letters and combining marks of every script, symbols and emoji.

**Structure.** The operation tree with its numbers, where the operands of `+`
and `*` have no order: `3 + 5` and `5 + 3` are one structure, `(3 + 5) + 2` and
`3 + (5 + 2)` are two, `5 - 3` and `3 - 5` are two. Known for generated problems
and for annotated GSM8K solutions.

Two problems are the same if either agrees. Everything here is linear in the
length of the text and never raises.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from echochamber.base import Problem, digest


class _Numerals(dict[int, str]):
    """What becomes of characters that NFKC would run into the number before them: `x²`, `3½`, `3①`."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        self[code] = f" {character} " if unicodedata.category(character) == "No" else character
        return self[code]


_NUMERALS = _Numerals(
    {ord(raised): f"^{plain}" for raised, plain in zip("⁰¹²³⁴⁵⁶⁷⁸⁹ⁿⁱ", "0123456789ni", strict=True)}
    | {ord(lowered): f"_{plain}" for lowered, plain in zip("₀₁₂₃₄₅₆₇₈₉", "0123456789", strict=True)}
)
# One sign in several shapes. NFKC knows those of full width, not these.
_SIGNS = {
    "−": "-", "‐": "-", "‒": "-", "–": "-", "×": "*", "⋅": "*", "·": "*", "∙": "*", "∗": "*", "÷": "/",
    "⁄": "/", "∕": "/", "∶": ":", "’": "'", "‘": "'", "′": "'", "ʼ": "'", "٫": ".", "٬": ",",
}  # fmt: skip


class _Folding(dict[int, str]):
    """What each non-ASCII character becomes; computed once, when it first occurs."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        kind = unicodedata.category(character)
        if character in _SIGNS:
            folded = _SIGNS[character]
        elif kind == "Nd":
            folded = str(unicodedata.decimal(character))
        elif kind == "Cf" or 0xFE00 <= code <= 0xFE0F:
            folded = ""  # how to draw the character beside it
        elif code < 128 or (kind[0] in "LM" and not _is_ideograph(code)) or kind in ("Cs", "Co", "Cn"):
            folded = character
        elif kind[0] in "SNL":
            # A symbol, or a character of a script without spaces, is a word by itself.
            folded = f" {character} "
        else:
            folded = " "  # punctuation, spaces, control characters
        self[code] = folded
        return folded


_FOLDING = _Folding()


def _is_ideograph(code: int) -> bool:
    return 0x3040 <= code <= 0x30FF or 0x3400 <= code <= 0x9FFF or 0xF900 <= code <= 0xFAFF or code >= 0x20000


_LETTER = r"[^\W\d_]"
_WORD = re.compile(
    # A word: letters and marks of any script, or a symbol that folding has separated.
    r"[^\s\d_+*/^=<>%$&#@\\|~()\[\]{}.,:;?!'\"`-]+"
    # A number, with its decimal point, thousands or ratio; then a factorial.
    r"|(?:(?<![\w.])\.)?\d+(?:[.,:]\d+)*(?:!(?!=))*"
    # Every other sign counts by itself; a blank to fill in counts once.
    r"|[+*/^=<>%$&#@\\|~()\[\]{}]|!=|_+"
    # A hyphen is a sign unless it joins two words; "f'(2)" has a prime; "n!" a factorial.
    rf"|(?<!{_LETTER}{_LETTER})-|-(?!{_LETTER}{_LETTER})|(?<={_LETTER})'+(?=\()|(?<=[)\]])!|(?<=\b{_LETTER})!"
)
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?!*")


def words_of(text: str) -> list[str]:
    """The words, numbers and signs of a text, folded as described above."""
    if text.isascii():
        text = text.lower()
    else:
        folded = unicodedata.normalize("NFKC", text.translate(_NUMERALS)).casefold()
        text = unicodedata.normalize("NFKC", folded).translate(_FOLDING)
    words = _WORD.findall(text)
    return [word.replace(",", "") if "," in word and _THOUSANDS.fullmatch(word) else word for word in words]


def text_key(text: str) -> str:
    """Identity of a text: a digest of its words and signs, or of the text itself if it has none."""
    words = " ".join(words_of(text)) or text
    return "text:" + hashlib.blake2b(words.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def joined(symbol: str, left: str, right: str) -> str:
    """The structure of one operation on two structures; the operands of `+` and `*` are sorted.

    >>> joined("+", "5", "3"), joined("-", "5", "3")
    ('(3+5)', '(5-3)')
    """
    if symbol in "+*":
        left, right = sorted((left, right), key=lambda operand: (len(operand), operand))
    return f"({left}{symbol}{right})"


def identities(problem: Problem) -> tuple[str, ...]:
    """Every key by which a problem can be the same as another."""
    text = text_key(problem.question)
    return (text, problem.structure) if problem.structure else (text,)


@dataclass(frozen=True, slots=True)
class Reserved:
    """Identities that training documents must not have.

    Attributes:
        from_files: what sources that read files must not yield: every identity of an evaluation problem.
        from_generators: what sources that generate documents must not yield: the structures of all problem
            sets, including those of post-training (files may contain them, as published training sets do).
    """

    from_files: frozenset[str] = frozenset()
    from_generators: frozenset[str] = frozenset()

    @classmethod
    def of(cls, evaluation: Iterable[Problem], training: Iterable[Problem] = ()) -> Reserved:
        """The identities reserved by the problems of evaluation and of post-training."""
        evaluation = list(evaluation)
        return cls(
            frozenset(key for problem in evaluation for key in identities(problem)),
            # A generator knows the structures it writes; for a problem without one the text decides.
            frozenset(
                problem.structure or text_key(problem.question) for problem in [*evaluation, *training]
            ),
        )

    def fingerprint(self) -> str:
        """Digest of all of it."""
        return digest([sorted(self.from_files), sorted(self.from_generators)])


NOTHING_RESERVED = Reserved()
