"""Numbers and rulings in words."""

import math

import pytest

from echochamber.analysis import Interval, PairedTest
from echochamber.report.material import Material
from echochamber.report.texts import (
    change_text,
    design,
    difference_badge,
    end_text,
    interval_text,
    marked,
    p_text,
    ruling_class,
    shortened,
    shown,
)

NAN = math.nan


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "100.0"), (0.99996, ">99.9"), (0.9995, ">99.9"), (0.995, "99.5"), (0.0, "0.0"), (0.0004, "<0.1")],
)
def test_ends_of_intervals_are_0_and_100_only_where_they_are(value: float, text: str) -> None:
    assert end_text(value) == text


def test_intervals() -> None:
    assert interval_text(Interval(0.39, 0.351, 0.43)) == "39\u00a0% [35.1, 43.0]"
    assert interval_text(Interval(0.39, NAN, NAN)) == "39\u00a0%"
    assert interval_text(Interval(NAN, NAN, NAN)) == "–"


def test_changes_carry_their_sign() -> None:
    assert change_text(Interval(0.031, -0.004, 0.066)) == "+3.1 [-0.4, +6.6]"
    assert change_text(Interval(-0.031, NAN, NAN)) == "-3.1"


@pytest.mark.parametrize(("p", "text"), [(0.0004, "< 0.001"), (0.0416, "0.042"), (1.0, "1.000"), (NAN, "–")])
def test_p_values(p: float, text: str) -> None:
    assert p_text(p) == text


@pytest.mark.parametrize(
    ("word", "color"),
    [("confirmed", "yes"), ("reproduced", "yes"), ("refuted", "no"), ("contradicted", "no"),
     ("seen in this run", "run"), ("opposite in this run", "run"), ("inconclusive", "open"), ("", "open")],
)  # fmt: skip
def test_colors_of_verdicts(word: str, color: str) -> None:
    assert ruling_class(word) == color


def test_a_badge_generalizes_only_with_several_seeds(material: Material, several: Material) -> None:
    def gain(of: Material) -> PairedTest:
        return of.primary[0].arms[0].gain()

    assert 'class="ruling run"' in difference_badge(gain(material))
    assert 'class="ruling yes"' in difference_badge(gain(several))
    assert 'class="ruling open"' in difference_badge(gain(several), inside_noise=True)


def test_text_of_unknown_origin() -> None:
    assert shown({"a\x1b": ["\u202e", 1, None]}) == {r"a\x1b": [r"\u202e", 1, None]}
    found = marked("<b>{}</b>", "<i>\x1b")
    assert found == r"<b>&lt;i&gt;\x1b</b>" and shown(found) is found
    assert shortened("abc", 3) == "abc"
    assert shortened("x" * 1234, 4) == "xxxx\n… 1,230 more characters"


def test_what_intervals_cover(material: Material, several: Material) -> None:
    group = material.primary[0]
    text = design(group.base)
    assert text.startswith("20 problems, 4 samples each, one seed; 95 % intervals cover other problems only")
    assert "decoded greedily" in design(group.greedy[group.base.model])
    assert "3 seeds; 95 % intervals cover other problems and other training runs." in design(
        several.primary[0].base
    )
