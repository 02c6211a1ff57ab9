"""The comparer: a fork server that decides with sympy whether two answers are equal and never runs a program.

Each child works through a list of questions and writes one byte for each as it goes.
If a question takes too long, its own timer ends the child: the answers written so far are kept, and the
grader sends the rest again.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import warnings
from collections.abc import Callable
from typing import Any

from echochamber.verify.math_equality import equal_answers
from echochamber.verify.sandboxed.algebra import Sympy
from echochamber.verify.sandboxed.fork_server import serve
from echochamber.verify.sandboxed.frames import write_all

EQUAL, DIFFERENT, UNPARSED = b"1", b"0", b"?"
_WARM_UP = (
    ("\\frac{1}{2}", "0.5"),
    ("\\left(3, \\frac{\\pi}{2}\\right)", "(3, \\pi/2)"),
    ("x^2+2x+1", "(x+1)^2"),
    ("3x+6y-5=0", "y=-\\frac12x+\\frac56"),
    ("2\\sqrt{3}+\\pi", "\\sqrt{12}+\\pi"),
    ("\\sin^2 x + \\binom{5}{2}", "1-\\cos^2 x + 10"),
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
    """Answer the questions of a request with one byte each, each within its time.

    A question is (gold, answer) for `equal` and `published_equal`, and
    (gold, texts of all samples) for `published_majority`.
    """
    decide = _RULES[request["rule"]]
    for gold, given in request["questions"]:
        # Without a handler, the timer ends this process no matter what the library is doing.
        signal.setitimer(signal.ITIMER_REAL, request["seconds"])
        write_all(channel, decide(gold, given))


def equal(gold: str, answer: str) -> bytes:
    """Whether two LaTeX answers are equal: by form, and by algebra where rules cannot tell."""
    with contextlib.suppress(Exception):
        if equal_answers(answer, gold, Sympy()):
            return EQUAL
    return DIFFERENT


def published_equal(gold: str, text: str) -> bytes:
    """The released reward's comparison: whatever math-verify finds in the whole text."""
    from math_verify import parse, verify

    found: list[Any] = []
    with contextlib.suppress(Exception):
        found = parse(text, parsing_timeout=None)
        if verify(parse(gold, parsing_timeout=None), found, timeout_seconds=None):
            return EQUAL
    return DIFFERENT if found else UNPARSED


def published_majority(gold: str, texts: list[str]) -> bytes:
    """The released majority vote over the texts of all samples of one problem.

    Every distinct parsed value has one vote, whatever its number of samples,
    so the first one wins; the strings that parsing leaves beside the values
    have a second vote, counted properly, if that one is wrong.
    """
    from collections import Counter

    from math_verify import parse, verify

    target = parse(gold, parsing_timeout=None)
    found: list[Any] = []
    for text in texts:
        with contextlib.suppress(Exception):
            found += parse(text, parsing_timeout=None)
    values = dict.fromkeys(item for item in found if not isinstance(item, str))
    strings = [item for item in found if isinstance(item, str)]
    if not found:
        return UNPARSED
    candidates = [*list(values)[:1], *(winner for winner, _ in Counter(strings).most_common(1))]
    for candidate in candidates:
        with contextlib.suppress(Exception):
            if verify(candidate, target, timeout_seconds=None):
                return EQUAL
    return DIFFERENT


_RULES: dict[str, Callable[[str, Any], bytes]] = {
    "equal": equal,
    "published_equal": published_equal,
    "published_majority": published_majority,
}
