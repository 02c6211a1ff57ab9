# ruff: noqa: E501 - many short texts
"""Texts made to hang or break the one who grades them: every one is read in a bounded time, none is paid."""

import time
from collections.abc import Iterator

import pytest

from echochamber.corpora.gsm8k_corpus import NotConvertible, convert
from echochamber.formats import ALL_LABELS, classify
from echochamber.verify import Grader, get_rules, vote_key
from echochamber.verify.answers import parse_number
from echochamber.verify.math_answers import normalized
from echochamber.verify.math_equality import Undecided, equal_answers
from echochamber.verify.outcomes import Execution

LENGTH = 100_000
# A line of this kind took for ever before.
MARKET = "18 dollars in total every single day at the farmers' market"
PIECES = (
    "\\boxed{", "\\boxed{7} and ", "\\boxed 7 ", "<<", "<<1=", "<<1+1=2>>", "#### ", "#### 7\n", "A: 7\n", "(", ")", "[", "{", "}",
    "\x00", "\ud800", "\u200f", "\u2028", "9", "1,", "1 ", "1/", "1e", "-", "\\frac", "\\text{", "\\left(", "^{", "√", "½", "७", " ",
    "\n", "\t", "\\", "$", "`", "```\n", "```python\n", "<llm-code>", "</llm-code>", "<llm-code-output>", "def f(", "def f():\n",
    "def f():\nx\n", "def f()->", "# c\n", "'''", "lambda:", "not ", "a.", "f(", "x[", "{a:", "1+", "class a", "import a\n", "@a\n",
    "x=1,", "=", "<", "> ", MARKET + " ",
)  # fmt: skip
# A busy machine is several times slower than an idle one; quadratic reading of these texts takes minutes.
SECONDS = 20.0


def repeated(piece: str) -> str:
    return (piece * (LENGTH // len(piece) + 1))[:LENGTH]


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    with Grader(workers=1) as shared:
        yield shared


@pytest.mark.parametrize("before", ["", "#### 7", "\\boxed{7", "def f():\n    return 7\n", "<llm-code>\n"])
def test_every_text_is_read_in_bounded_time(before: str) -> None:
    for piece in PIECES:
        start = time.perf_counter()
        assert classify(before + repeated(piece)) in ALL_LABELS()
        assert time.perf_counter() - start < SECONDS, (before, piece)


@pytest.mark.parametrize("rules", ["gsm8k", "math", "aime"])
def test_hostile_answers_are_graded(grader: Grader, rules: str) -> None:
    texts = [f"#### {piece * 60}" for piece in PIECES] + [f"\\boxed{{{repeated(piece)}}}" for piece in PIECES]
    texts += [
        "#### " + MARKET,
        "\\boxed{" + MARKET + "}",
        "#### " + "7" * 60_000,
        "\\boxed{" + "7" * 60_000 + "}",
    ]
    start = time.perf_counter()
    verdicts = grader.grade(texts, ["5"] * len(texts), rules=rules)
    assert not any(verdict.reward for verdict in verdicts)
    assert time.perf_counter() - start < 3 * SECONDS


def test_what_a_rule_can_refuse_never_reaches_algebra() -> None:
    for piece in ("(", "[", "{", "\\left(", "f(", "10^{10^{", "9^9^", "2^{99999999}", "99999999!"):
        answer = (piece * 60)[:390]
        assert equal_answers(answer, "\\frac{x}{2}", Undecided()) is False, piece


@pytest.mark.parametrize("piece", PIECES)
def test_answers_are_total(piece: str) -> None:
    for text in (piece, piece * 40, repeated(piece)):
        parse_number(text)
        normalized(text)
        vote_key(text)
        for rules in ("gsm8k", "math", "aime"):
            comparison = get_rules(rules)
            for kind in ("int", "float", "decimal", "ratio", "str", "none", "other", "latex", "bool"):
                comparison.value_equals(Execution("ok", kind, text, text), "5")


@pytest.mark.parametrize(
    "piece", ["9", "1+", "(", "1 + ", "1 = ", "<<1+1=2>>", "<<", "$1,", " ", "a ", "-", "1e9", "9" * 50 + "*"]
)
def test_solutions_of_a_data_set_are_read_in_bounded_time(piece: str) -> None:
    for text in (repeated(piece), f"<<{repeated(piece)}=1>>1", f"{repeated(piece)} = 5"):
        start = time.perf_counter()
        for answer in (f"{text}\n#### 5", "1 = 1\n#### 1e999999999"):
            try:
                convert(text[:50], answer)
            except NotConvertible:
                continue
        assert time.perf_counter() - start < SECONDS
