"""The comparer: a fork server that asks math-verify whether two answers are equal and never runs a program.

Each child works through a list of pairs and writes one byte a pair as it goes.
A pair that takes too long is ended by its own timer, with the child: what was
written until then stands, and the grader sends the rest again.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import warnings
from typing import Any

from echochamber.verify.sandboxed.fork_server import serve
from echochamber.verify.sandboxed.frames import write_all

EQUAL, DIFFERENT = b"1", b"0"
_WARM_UP = (
    ("\\frac{1}{2}", "0.5"),
    ("\\left(3, \\frac{\\pi}{2}\\right)", "(3, \\pi/2)"),
    ("x^2+2x+1", "(x+1)^2"),
    ("[0, 1) \\cup (2, \\infty)", "[0,1)"),
    ("\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "\\begin{pmatrix} 1 \\\\ 3 \\end{pmatrix}"),
    ("\\{1, 2\\}", "1, 2"),
    ("x < 3", "x < 4"),
)


def main() -> None:
    """Serve comparisons until the other end of standard input closes."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    serve(lambda: [equal(gold, answer) for gold, answer in _WARM_UP], run_job)


def run_job(channel: int, request: dict[str, Any]) -> None:
    """Compare the pairs of a request, each within its time."""
    for gold, answer in request["pairs"]:
        # Without a handler the timer ends this process, whatever the library is doing.
        signal.setitimer(signal.ITIMER_REAL, request["seconds"])
        write_all(channel, EQUAL if equal(gold, answer) else DIFFERENT)


def equal(gold: str, answer: str) -> bool:
    """Whether math-verify holds two LaTeX answers for equal, in either notation it can read."""
    from math_verify import parse, verify

    with contextlib.suppress(Exception):
        targets = [parse(text, parsing_timeout=None) for text in (f"\\boxed{{{gold}}}", f"${gold}$")]
        guesses = [parse(text, parsing_timeout=None) for text in (f"\\boxed{{{answer}}}", f"${answer}$")]
        for target in targets:
            for guess in guesses:
                if target and guess and verify(target, guess, timeout_seconds=None):
                    return True
    return False
