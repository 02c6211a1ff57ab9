"""Numbers, verdicts and text of unknown origin, as the page writes them."""

from __future__ import annotations

from typing import Any

from echochamber.analysis import Interval, PairedTest, percent, points, verdict
from echochamber.base import printable

ABOUT_TRAININGS = {"confirmed": "yes", "reproduced": "yes", "refuted": "no", "contradicted": "no"}
ABOUT_RUNS = {"seen in this run", "opposite in this run"}


def verdict_class(word: str) -> str:
    """The colour of a verdict: `yes` and `no` are about trainings, `run` about one run, `open` is neither."""
    return "run" if word in ABOUT_RUNS else ABOUT_TRAININGS.get(word, "open")


def difference_badge(test: PairedTest, *, inside_noise: bool | None = None) -> tuple[str, str]:
    """What a comparison shows, in words and by colour; with one seed it is about two runs and says so.

    Args:
        inside_noise: in place of the test's own answer, where it was corrected for several comparisons.
    """
    noise = test.inside_noise if inside_noise is None else inside_noise
    color = "open" if noise else "yes" if test.about == "trainings" else "run"
    return verdict(test.about, inside_noise=noise), color


def end_text(value: float) -> str:
    """An end of an interval of shares in percent; only exactly 0 and 1 are written as 0.0 and 100.0."""
    text = f"{100 * value:.1f}"
    if text == "0.0" and value > 1e-12:
        return "<0.1"
    return ">99.9" if text == "100.0" and value < 1.0 - 1e-12 else text


def interval_text(interval: Interval) -> str:
    """`39 % [35.1, 43.0]`; a dash where nothing was measured."""
    if interval.estimate != interval.estimate:
        return "–"
    if interval.low != interval.low:
        return percent(interval.estimate)
    return f"{percent(interval.estimate)} [{end_text(interval.low)}, {end_text(interval.high)}]"


def change_text(interval: Interval) -> str:
    """`+3.1 [-0.4, +6.6]`, in points; without the interval where there is none."""
    if interval.low != interval.low:
        return points(interval.estimate, "")
    return f"{points(interval.estimate, '')} [{points(interval.low, '')}, {points(interval.high, '')}]"


def p_text(p: float) -> str:
    """A p-value with three decimals."""
    if p != p:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def shown(value: Any) -> Any:
    """A value as the page may hold it: text without control, invisible or direction-changing characters.

    What the page wrote itself as markup passes unchanged.
    """
    if isinstance(value, str) and not hasattr(value, "__html__"):
        return printable(value)
    if isinstance(value, dict):
        return {shown(key): shown(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [shown(item) for item in value]
    return value


def shortened(text: str, most: int) -> str:
    """At most so many characters, and how many more there were."""
    if len(text) <= most:
        return text
    return f"{text[:most]}\n… {len(text) - most:,} more characters"
