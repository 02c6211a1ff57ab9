"""Text made harmless."""

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echochamber.base import printable, storable

# Joiners are invisible, but letters of some scripts and emoji are made with them.
JOINERS = "\u200c\u200d"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("7 apples\n\tof Zoë 😀", "7 apples\n\tof Zoë 😀"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("7\r8", "7\\r8"),
        ("\x9b31m\x07\x00\x7f", "\\x9b31m\\x07\\x00\\x7f"),
        ("a\u202eb\u2066c\u200e", "a\\u202eb\\u2066c\\u200e"),
        ("\ud83d\u2028\ufeff", "\\ud83d\\u2028\\ufeff"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_controls_are_shown(text: str, seen: str) -> None:
    assert printable(text) == seen


def test_one_line_stays_one_line() -> None:
    assert printable("a\tb\nc", one_line=True) == "a\\tb\\nc"


def test_no_character_of_unicode_is_a_control_afterwards() -> None:
    shown = printable("".join(map(chr, range(sys.maxunicode + 1))))
    harmful = {"Cc", "Cs", "Zl", "Zp"}
    assert not {c for c in shown if unicodedata.category(c) in harmful and c not in "\n\t"}
    turning = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI", "BN"}
    assert not {c for c in shown if unicodedata.bidirectional(c) in turning and c not in JOINERS}


@given(st.text(st.characters(exclude_categories=())))
def test_total(text: str) -> None:
    printable(text).encode()
    assert storable(text).encode().decode() == storable(text)
    assert len(storable(text)) == len(text)
