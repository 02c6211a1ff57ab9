"""Numbers written as text."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echochamber.verify import parse_number

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
        "18 and a half", "18 k", "0x12", "1_000", "٣", "²", "18 x", "\\sqrt{18}", "2+3", "2*3",
    ],
)  # fmt: skip
def test_what_is_not_one_number(text: str) -> None:
    assert parse_number(text) is None


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


@given(st.integers(-(10**12), 10**12), st.integers(1, 10**6))
def test_round_trip(top: int, bottom: int) -> None:
    value = Fraction(top, bottom)
    for text in (f"{top}/{bottom}", f"\\frac{{{top}}}{{{bottom}}}", f"${top:,}$"):
        number = parse_number(text)
        assert number is not None
        assert number.value == (top if "," in text or bottom == 1 or text.startswith("$") else value)
