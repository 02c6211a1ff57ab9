"""Answers of MATH: numbers exactly, typesetting by rule, the rest by algebra in a process of its own."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from echochamber.base import InputError
from echochamber.verify import Grader
from echochamber.verify.comparing import Comparer


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    with Grader(workers=1) as shared:
        yield shared


EQUAL = [
    ("18", "18.0"),
    ("\\frac{1}{2}", "0.5"),
    ("\\frac{1}{2}", "\\dfrac12"),
    ("\\frac{1}{2}", "1/2"),
    ("3\\frac{1}{2}", "7/2"),
    ("10\\%", "10"),
    ("10\\%", "10\\%"),
    ("5.4 \\text{ cents}", "5.4"),
    ("\\$32,\\!348", "32348"),
    ("90^\\circ", "90"),
    ("\\text{Evelyn}", "Evelyn"),
    ("\\text{Evelyn}", "\\text{ evelyn }."),
    ("\\text{(C)}", "C"),
    ("C", "\\textbf{(C)}"),
    ("2516_8", "2516_{8}"),
    ("2516_8", "2516_{\\text{eight}}"),
    ("2516_8", "2516 \\text{ (base 8)}"),
    ("2516", "2516_{10}"),
    ("x = 5", "5"),
    ("5", "x = 5"),
    ("[-2,7]", "x \\in [-2, 7]"),
    ("\\left( 3, \\frac{\\pi}{2} \\right)", "(3,\\pi/2)"),
    ("2\\sqrt{3}", "\\sqrt{12}"),
    ("\\sqrt{2}/2", "\\frac{1}{\\sqrt{2}}"),
    ("x^2+2x+1", "(x+1)^2"),
    ("1,-2", "-2, 1"),
    ("1,-2", "x = 1 \\text{ or } x = -2"),
    ("\\{1, 2, 3\\}", "\\{3, 2, 1\\}"),
    ("(-\\infty, 2) \\cup (3, \\infty)", "(-\\infty,2)\\cup(3,\\infty)"),
    ("\\begin{pmatrix} -1/3 \\\\ 2 \\end{pmatrix}", "\\begin{pmatrix}-\\frac{1}{3}\\\\2\\end{pmatrix}"),
    ("y = 2x + 3", "y=3+2x"),
    ("f(x) = x^2", "x^2"),
    ("6 - 5i", "-5i + 6"),
    ("3 \\pm 2 \\sqrt{2}", "3\\pm2\\sqrt2"),
    ("p^2 - 1", "(p-1)(p+1)"),
    ("\\frac{\\sqrt{3}}{3}", "\\frac{1}{\\sqrt 3}"),
    ("11\\sqrt2", "11\\sqrt{2}"),
]

DIFFERENT = [
    ("50", "50\\%"),
    ("18", "18j"),
    ("18", "17=18"),
    ("18", "x = 17 = 18"),
    ("18", "18 \\text{ or } 19"),
    ("18", "18 million"),
    ("18", "18, 19"),
    ("18", "1,8"),
    ("18", "x"),
    ("18", ""),
    ("18", "10^{10^{10}}"),
    ("\\frac{1}{3}", "0.333"),
    ("(1, 2)", "(2, 1)"),
    ("[0, 1)", "[0, 1]"),
    ("\\text{Evelyn}", "Carla"),
    ("\\text{(C)}", "D"),
    ("2516_8", "2516_{7}"),
    ("x^2+2x+1", "(x-1)^2"),
    ("2\\sqrt{3}", "2\\sqrt{2}"),
    ("\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "\\begin{pmatrix} 2 \\\\ 1 \\end{pmatrix}"),
    ("\\text{even}", "odd"),
    ("6 - 5i", "6 + 5i"),
]


def test_equal_answers(grader: Grader) -> None:
    verdicts = grader.grade([f"\\boxed{{{a}}}" for _, a in EQUAL], [g for g, _ in EQUAL], rules="math")
    assert [pair for pair, verdict in zip(EQUAL, verdicts, strict=True) if not verdict.reward] == []


def test_different_answers(grader: Grader) -> None:
    verdicts = grader.grade(
        [f"\\boxed{{{a}}}" for _, a in DIFFERENT], [g for g, _ in DIFFERENT], rules="math"
    )
    assert [pair for pair, verdict in zip(DIFFERENT, verdicts, strict=True) if verdict.reward] == []


def test_programs_are_compared_by_value(grader: Grader) -> None:
    programs = ["1 / 2", "'1/2'", "0.25 * 2", "'\\\\sqrt{12}'", "'x'"]
    golds = ["\\frac{1}{2}", "\\frac{1}{2}", "0.5", "2\\sqrt{3}", "y"]
    verdicts = grader.grade([f"<llm-code>\n{p}\n</llm-code>" for p in programs], golds, rules="math")
    assert [verdict.reward for verdict in verdicts] == [1.0, 1.0, 1.0, 1.0, 0.0]


def test_a_comparison_without_end_costs_only_itself() -> None:
    comparer = Comparer(1)
    try:
        comparer.equal([("x", "x+0")])
        start = time.monotonic()
        bomb = "+".join(["\\int_0^{10^{9}} \\sin(x^{x^{x}}) dx"] * 3) + "^{10^{10^{10}}}"
        found = comparer.equal([("2x", "x+x"), ("x", "10^{10^{10}}"), ("3x", bomb), ("4x", "2x+2x")])
        assert (found[0], found[1], found[3]) == (True, False, True)
        assert time.monotonic() - start < 30
    finally:
        comparer.close()


def test_an_empty_gold_is_refused(grader: Grader) -> None:
    with pytest.raises(InputError, match="the gold answer ' ' is empty"):
        grader.grade(["\\boxed{1}"], [" "], rules="math")


def data(name: str) -> list[dict[str, str]]:
    root = Path(os.environ.get("ECHOCHAMBER_TEST_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
    if not root.exists():
        pytest.skip("the real data sets are not here")
    return [json.loads(line) for line in (root / name).open()]


def test_reference_solutions_of_math_500_are_paid(grader: Grader) -> None:
    rows = data("math500/test.jsonl")
    verdicts = grader.grade([row["solution"] for row in rows], [row["answer"] for row in rows], rules="math")
    assert sum(verdict.reward for verdict in verdicts) == len(rows) == 500


@pytest.mark.parametrize("name", ["gsm8k/train.jsonl", "gsm8k/test.jsonl"])
def test_gsm8k_solutions_are_paid_and_empty_ones_are_not(grader: Grader, name: str) -> None:
    rows = data(name)
    golds = [row["answer"].rpartition("####")[2].strip() for row in rows]
    assert all(v.reward for v in grader.grade([row["answer"] for row in rows], golds))
    for hack in ([""] * len(rows), [row["question"] for row in rows], [f"{gold} " * 20 for gold in golds]):
        assert sum(verdict.reward for verdict in grader.grade(hack, golds)) == 0.0
