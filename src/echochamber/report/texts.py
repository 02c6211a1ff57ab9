"""Numbers, rulings and untrusted text, as the page writes them."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from echochamber.analysis import Interval, PairedTest, Trajectory, distinction, percent, points
from echochamber.base import printable

ABOUT_TRAININGS = {"confirmed": "yes", "reproduced": "yes", "refuted": "no", "contradicted": "no"}
ABOUT_RUNS = {"seen in this run", "opposite in this run"}


def ruling_class(word: str) -> str:
    """The color of a ruling: `yes` and `no` from several seeds, `run` about one run, `open` for neither."""
    return "run" if word in ABOUT_RUNS else ABOUT_TRAININGS.get(word, "open")


def difference_badge(test: PairedTest, *, inside_noise: bool | None = None) -> Markup:
    """What a comparison shows, in words and by color; with one seed it is about two runs and says so.

    Args:
        inside_noise: replaces the test's own answer where it was corrected for several comparisons.
    """
    noise = test.inside_noise if inside_noise is None else inside_noise
    color = "open" if noise else "yes" if test.about == "trainings" else "run"
    return marked('<span class="ruling {}">{}</span>', color, distinction(test.about, inside_noise=noise))


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
    """A value that is safe on the page: text without control, invisible or direction-changing characters.

    Markup that the page wrote itself is left unchanged.
    """
    if isinstance(value, str) and not hasattr(value, "__html__"):
        return printable(value)
    if isinstance(value, dict):
        return {shown(key): shown(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [shown(item) for item in value]
    return value


def marked(template: str, *texts: str) -> Markup:
    """HTML that the page writes itself, with untrusted texts at its `{}`, escaped and printable."""
    return Markup(template).format(*map(shown, texts))


def design(t: Trajectory) -> str:
    """How a trajectory was measured, and what its intervals cover."""
    samples = f"{t.num_samples} samples each" if not t.greedy else "decoded greedily"
    if t.num_seeds > 1:
        covered = f"{t.num_seeds} seeds; 95 % intervals cover other problems and other training runs"
    else:
        covered = "one seed; 95 % intervals cover other problems only, not other training runs"
    return f"{t.num_problems} problems, {samples}, {covered}."


def shortened(text: str, most: int) -> str:
    """At most `most` characters, followed by how many more there were."""
    if len(text) <= most:
        return text
    return f"{text[:most]}\n… {len(text) - most:,} more characters"
