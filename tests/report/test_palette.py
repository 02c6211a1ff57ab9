"""Colors that mean the same thing everywhere."""

import re

from echochamber.formats import ALL_LABELS
from echochamber.report.palette import INK, arm_styles, format_colors


def test_a_format_has_one_color_whatever_stands_beside_it() -> None:
    every = format_colors(ALL_LABELS())
    assert len(set(every.values())) == len(every)
    assert all(re.fullmatch(r"#[0-9A-Fa-f]{6}", color) for color in every.values())
    assert format_colors(["boxed"]) == {"boxed": every["boxed"]}


def test_a_user_s_formats_get_their_own_colors() -> None:
    found = format_colors(["poem", "boxed", "song"])
    assert len(set(found.values())) == 3
    assert not {found["poem"], found["song"]} & set(format_colors(ALL_LABELS()).values())
    many = format_colors([f"own{i}" for i in range(9)])
    assert len(many) == 9  # colors come again rather than run out


def test_the_base_model_is_ink_and_arms_differ_in_color_and_dash() -> None:
    styles = arm_styles("base", ["grpo", "ppo", "ei"])
    assert styles["base"] == (INK, "solid")
    assert len({color for color, _ in styles.values()}) == 4
    assert len({dash for arm, (_, dash) in styles.items() if arm != "base"}) == 3
    assert len(arm_styles("base", [f"arm{i}" for i in range(20)])) == 21
