"""Colors that mean the same thing everywhere in a report.

Formats take the colors of Okabe and Ito (2008) and arms those of the IBM
design library; the colors of both sets stay distinct under the common
color-vision deficiencies. Arms differ in their dashes as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from echochamber.evaluation import Cell

Dash = Literal["solid", "dash", "dot", "dashdot", "longdash"]

INK = "@ink"
"""The text color of the page, light or dark."""

_FORMATS = {
    "tinygsm": "#0F7DC2",
    "llm_code": "#E69F00",
    "boxed": "#009E73",
    "gsm8k": "#CC79A7",
    "none": "#9AA0A8",
    "ambiguous": "#6B7078",
}
_MORE_FORMATS = ("#56B4E9", "#D55E00", "#8C6D3F", "#7F7FBF")
_ARMS = ("#785EF0", "#DC267F", "#FE6100", "#2D9C9C", "#648FFF", "#C99700")
_DASHES: tuple[Dash, ...] = ("solid", "dash", "dot", "dashdot", "longdash")


def format_colors(formats: Sequence[str]) -> dict[str, str]:
    """The color of each format; the user's own formats get the further colors in order."""
    own = [name for name in formats if name not in _FORMATS]
    return {
        name: _FORMATS[name] if name in _FORMATS else _MORE_FORMATS[own.index(name) % len(_MORE_FORMATS)]
        for name in formats
    }


def arm_styles(base: Cell, arms: Sequence[Cell]) -> dict[Cell, tuple[str, Dash]]:
    """Color and dash of each arm, by its place in the study; the base model is drawn in ink."""
    styles: dict[Cell, tuple[str, Dash]] = {base: (INK, "solid")}
    for i, arm in enumerate(arms):
        styles[arm] = (_ARMS[i % len(_ARMS)], _DASHES[i % len(_DASHES)])
    return styles
