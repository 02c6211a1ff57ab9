"""Text of unknown origin, made fit to be written to a file or shown on a terminal. Total and linear."""

from __future__ import annotations

import re

# Characters that move the cursor, set colors, beep, are invisible or reverse the order of text:
# C0 and C1 controls, direction marks and overrides, line and paragraph separators, invisible signs.
_UNSEEN = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    r"\ufff9-\ufffb\ud800-\udfff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_HARMFUL = re.compile(f"[{_UNSEEN}]")
_HARMFUL_IN_A_LINE = re.compile(f"[{_UNSEEN}\\t\\n]")
_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


def printable(text: str, *, one_line: bool = False) -> str:
    r"""`text` as a terminal may show it: every control or invisible character in Python's notation.

    ESC becomes `\x1b`, a direction override `\u202e`, a lone surrogate `\ud83d`. Line ends and tabs stay,
    unless the text has to keep to one line.
    """
    return (_HARMFUL_IN_A_LINE if one_line else _HARMFUL).sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def storable(text: str) -> str:
    """`text` as UTF-8 can write it: lone surrogates become U+FFFD, the replacement character."""
    return text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text)
