"""As published, as measured: the same samples scored by the paper's released rules and by ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from echochamber.analysis import percent
from echochamber.evaluation import Cell
from echochamber.report.material import Material
from echochamber.report.section import SECOND_OPINION, Block, Fragment, Table, register_section
from echochamber.report.texts import marked

_SCORES = ("reward", "pass_at_n", "majority")
_COLUMNS = (
    "arm", "step", "seed", "reward", "pass@n", "majority@n", "share of code, published", "shares, measured",
)  # fmt: skip
_EMPTY_ANSWERS = {
    "empty": "nothing at all",
    "prompt": "the question again",
    "repetition": "the question's last number, over and over",
}
_INTRODUCTION = """
<p class="quiet">The same samples scored by the rules of the paper's released code (left of each pair) and by
ours (right). The released rules treat any text with the letters "def" as code, fall back to the last number
in question and answer, drop unparsed samples from the shares, and reuse one problem's vote for the next
where nothing parses. Vote and pass are over all samples of a problem.</p>
"""


@register_section("published", "As published, as measured", short="", order=130, needs=[SECOND_OPINION])
def published(material: Material) -> Iterator[Block]:
    """Scores by the published rules beside ours, for the first and the last step of each arm."""
    opinion = material.run.second_opinion
    yield Fragment(_INTRODUCTION)
    yield Table("", _COLUMNS, [_row(row) for row in opinion["rows"]])
    floor = opinion.get("hack_floor")
    if floor:
        yield Table(
            "Reward of responses that answer nothing",
            ("response", "as published", "as measured"),
            [
                (
                    _EMPTY_ANSWERS.get(kind, kind),
                    percent(value),
                    marked("<b>{}</b>", percent(floor["measured"][kind])),
                )
                for kind, value in floor["published"].items()
            ],
        )


def _row(row: Mapping[str, Any]) -> tuple[Any, ...]:
    theirs, ours = row["published"], row["measured"]
    pairs = [marked("{} / <b>{}</b>", percent(theirs[name]), percent(ours[name])) for name in _SCORES]
    measured = {name: value for name, value in ours["share"].items() if value > 0}
    return (Cell.of(row).name, row["step"], row["seed"], *pairs, _listed(theirs["share"]), _listed(measured))


def _listed(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {percent(value)}" for name, value in shares.items())
