"""Numbers written as text."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echochamber.verify import vote_key
from echochamber.verify.answers import parse_number, same_number
from echochamber.verify.math_equality import Undecided, equal_answers

NUMBERS = {
    "18": "18",
    "-18": "-18",
    "- 18": "-18",
    "+18": "18",
    "18.": "18",
    "18.0": "18",
    ".5": "1/2",
    "1,234": "1234",
    "1,234,567.50": "1234567.5",
    "$18": "18",
    "\\$18": "18",
    "$1{,}234$": "1234",
    "1\\,234": "1234",
    "1 234 567": "1234567",
    "\\$1,\\!234": "1234",
    "18 dollars": "18",
    "18\\text{ dollars}": "18",
    "18 \\text{ cm}^2": "18",
    "18\\ \\mathrm{cm^2}": "18",
    "\\text{18}": "18",
    "\\mathbf{18}": "18",
    "18 miles per hour": "18",
    "18 dollars in total every single day at the farmers' market": "18",
    "$18/hour": "18",
    "18 more than Tom": "18",
    "18^\\circ": "18",
    "18^{\\circ}": "18",
    "18\\degree": "18",
    "18°": "18",
    "{18}": "18",
    "3/4": "3/4",
    "-3/4": "-3/4",
    "\\frac{3}{4}": "3/4",
    "-\\dfrac{3}{4}": "-3/4",
    "\\frac34": "3/4",
    "\\frac{3}4": "3/4",
    "3 1/2": "7/2",
    "3\\frac{1}{2}": "7/2",
    "-3\\tfrac12": "-7/2",
    "1e+20": "100000000000000000000",
    "1.5 \\times 10^{3}": "1500",
    "2*10^3": "2000",
    "x = 18": "18",
    "\\(18\\)": "18",
    "\\left 18 \\right": "18",
    "−18": "-18",
    "-$18": "-18",
    "**18**": "18",
    "`18`": "18",
    "18,": "18",
    "18;": "18",
    "18</s>": "18",
    "18 <|endoftext|>": "18",
    "\\boxed{18}": "18",
    "\\fbox{$18$}": "18",
    "{{18}}": "18",
    "(18)": "18",
    "18 (clips)": "18",
    "18 clips per day": "18",
    "\\text{Total} = 18": "18",
    "Answer: 18": "18",
    "The answer is 18.": "18",
    "f^{-1}(2) = 18": "18",
    "１８": "18",
    "१८": "18",
    "\u200f18\u200b": "18",
    "½": "1/2",
    "3½": "7/2",
    "12,\\! 345": "12345",
    "1{,}234{,}567": "1234567",
    "2,300.50m²": "4601/2",
    "864 \\mbox{ inches}^2": "864",
    "0.\\overline{36}": "4/11",
    "0.8\\dot{3}": "5/6",
    "0.(3)": "1/3",
    "٣": "3",
}


@pytest.mark.parametrize("text", NUMBERS)
def test_ways_to_write_a_number(text: str) -> None:
    number = parse_number(text)
    assert number is not None
    assert number.value == Fraction(NUMBERS[text])
    assert not number.percent


@pytest.mark.parametrize(
    "text",
    [
        "", " ", ".", "-", "$", "eighteen", "17=18", "x=17=18", "18j", "3x", "18 or 19", "17, 18",
        "(1, 2)", "1,23", "12,34,567", "18 million", "2 dozen", "1/0", "3 1/0", "10^{10^{10}}",
        "1e999999", "1e99999999", "10^{10^{10^{10}}}", "nan", "inf", "18!", "5:30", "--3", "1/2/3",
        "48 + 48/2", "3 + 1/2", "48 48/2", "not 18", "about 18", "18 or", "1,22",
        "18 and a half", "18 k", "0x12", "1_000", "²", "7$123", "3\n400",
        "1.000.000", "18 = 9 + 9", "9 + 9 = 18",
        "18\" 400", "18 x", "\\sqrt{18}", "2+3", "2*3",
    ],
)  # fmt: skip
def test_what_is_not_one_number(text: str) -> None:
    assert parse_number(text) is None


def test_arithmetic_still_to_be_done_is_noted() -> None:
    for text in ("144/2", "\\frac{144}{2}", "7.2*10^1", "7.2 \\times 10^{1}", "1.5/2", "0/5"):
        number = parse_number(text)
        assert number is not None and number.unevaluated, text
    for text in ("7/2", "\\frac{14}{4}", "3 1/2", "3.5", "7.2e1"):
        number = parse_number(text)
        assert number is not None and not number.unevaluated, text


@pytest.mark.parametrize(
    ("answer", "gold", "same"),
    [
        ("25.00001", "25", False),
        ("10000005.5", "10000000", False),
        ("72.00000001", "72", False),
        ("71.99999999999999", "72", True),
        ("72.00000000000001", "72", True),
        ("0.30000000000000004", "0.3", True),
        ("0.30000001", "0.3", False),
        ("0.333333333333333", "1/3", True),
        ("0.3333333333333333", "0.3333333", True),
        ("0.3333333", "1/3", False),
        ("0.0000667777777777777", "0.0000672", False),
        ("0.000000000000001", "0.0000000000000011", False),
        ("50%", "50", False),
        ("50", "50%", True),
    ],
)
def test_how_exact_is_exact(answer: str, gold: str, same: bool) -> None:
    number, target = parse_number(answer), parse_number(gold)
    assert number is not None and target is not None
    assert same_number(number, target) is same


def test_percent_is_noted() -> None:
    for text in ("50%", "50\\%", "50 \\%", "50 percent", "$50\\%$"):
        number = parse_number(text)
        assert number is not None and number.percent and number.value == 50


@given(st.text(max_size=60))
def test_never_raises(text: str) -> None:
    parse_number(text)


@given(st.text(alphabet="0123456789.,/-+ $\\{}frac%textdolars^circe=*", max_size=40))
def test_never_raises_near_numbers(text: str) -> None:
    parse_number(text)


@given(st.text(alphabet="0123456789.,/-+ $\\{}frac()[]<>=|xy^_\\text", max_size=40))
def test_an_answer_is_equal_to_itself_and_votes_for_one_thing(text: str) -> None:
    assert equal_answers(text, text, Undecided()) is True
    assert vote_key(text) == vote_key(f" {text} ")


@given(st.integers(-(10**12), 10**12), st.integers(1, 10**6))
def test_round_trip(top: int, bottom: int) -> None:
    value = Fraction(top, bottom)
    for text in (f"{top}/{bottom}", f"\\frac{{{top}}}{{{bottom}}}", f"${top:,}$"):
        number = parse_number(text)
        assert number is not None
        assert number.value == (top if "," in text or bottom == 1 or text.startswith("$") else value)
