"""Text made harmless, and the processors a process was given."""

import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echochamber.base import machine_cpus, printable, storable
from echochamber.cli.main import run_cli

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


def test_an_error_that_quotes_a_users_text_is_shown_harmlessly(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["grade", "\x1b[2Jmissing\u202e.jsonl"]) == 2
    said = capsys.readouterr().err
    assert "\\x1b[2Jmissing\\u202e.jsonl" in said
    assert "\x1b" not in said


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_the_processors_are_those_at_the_start() -> None:
    script = (
        "import os\nfrom echochamber.base import machine_cpus\nbefore = os.sched_getaffinity(0)\n"
        "os.sched_setaffinity(0, {min(before)})\nassert machine_cpus() == before\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    assert machine_cpus()


def test_a_terminal_without_the_character_shows_its_number(tmp_path: Path) -> None:
    path = tmp_path / "Zoë.jsonl"
    path.write_text('{"completion": "7", "gold": "7"}\n')
    command = [sys.executable, "-m", "echochamber", "grade", str(path)]
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, env=ascii_only, capture_output=True, text=True, timeout=60, check=True)
    assert "Zo\\xeb.jsonl" in done.stdout
