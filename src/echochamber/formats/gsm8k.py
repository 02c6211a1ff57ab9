"""The format of GSM8K: prose with calculator annotations that ends in `#### answer`."""

from __future__ import annotations

import re

from echochamber.formats.layout import layout
from echochamber.formats.sentences import claim
from echochamber.formats.types import Extracted, Worked

# What may precede the digits of an answer, including a name for it (`Answer:`, `x =`). A markdown heading
# (`#### Step 2`, `#### 1. Setup`) is not an answer.
_BEFORE = (
    r"(?:(?:[Tt]he )?(?:[Ff]inal )?(?:[Aa]nswer|[Tt]otal|[Rr]esult)(?: is)?[ \t]*+[:=]?[ \t]*+"
    r"|[a-zA-Z][ \t]*+=[ \t]*+)?"
    r"[-+−–~≈$€£¥₹*_`\"(\[{\\.\u200b-\u200f ]*+"
)
_NUMBER = rf"(?P<answer>{_BEFORE}(?:\d|[¼-¾⅐-⅞√]|(?<=\\)[a-zA-Z])[^\n]{{0,120}})"
_HEADING = r"(?!\d+[.)][ \t]+[^\W\d])"
_MARK = "####"
# Matches from the mark, which is faster to find than the beginning of its line.
_ANSWER = re.compile(rf"{_MARK}:?[ \t]*+{_HEADING}{_NUMBER}$", re.MULTILINE)
_BEFORE_MARK = " \t>*"
# The ending of the model solutions that were published with the dataset.
_LAST_LINE = re.compile(rf"^A:[ \t]*+{_NUMBER}\Z", re.MULTILINE)
_ANNOTATION = re.compile(r"<<[-+*/().,%$\d \t]*+=[-+.,%$/\d \t]*+>>")
_OPEN_ANNOTATION = re.compile(r"<<[-+*/().\d ]++(?:=[-\d.,]*+>?)?\Z")


class Gsm8k:
    """Prose with `<<12-5=7>>` annotations and a last line `#### 7`."""

    name = "gsm8k"
    summary = "prose with <<12-5=7>> annotations that ends in #### answer"

    def render(self, worked: Worked) -> str:
        """One annotated sentence per line, then `#### answer`."""
        lines = []
        for step in worked.steps:
            computation = f"{step.shown} = <<{step.shown.replace(' ', '')}={step.value}>>{step.value}"
            lines.append(claim(step, computation))
        return "\n".join([*lines, f"#### {worked.answer}"])

    def detect(self, completion: str) -> bool:
        """An answer line or a calculator annotation, outside code."""
        if _MARK not in completion and "<<" not in completion and "A:" not in completion:
            return False
        prose = layout(completion).prose
        return any(pattern.search(prose) for pattern in (_ANNOTATION, _OPEN_ANNOTATION)) or bool(
            _answers(prose)
        )

    def extract(self, completion: str) -> Extracted:
        """The text after `####` on the last such line, or after `A:` on the very last line."""
        answers = _answers(layout(completion).prose)
        return Extracted(answer=answers[-1].strip() if answers else None)


def _answers(prose: str) -> list[str]:
    """The text after the mark at the beginning of a line, or else after `A:` on the last line."""
    marked = [
        found["answer"]
        for found in _ANSWER.finditer(prose)
        if not prose[prose.rfind("\n", 0, found.start()) + 1 : found.start()].strip(_BEFORE_MARK)
    ]
    if marked or "A:" not in prose:
        return marked
    return [found["answer"] for found in _LAST_LINE.finditer(prose.rstrip())]
