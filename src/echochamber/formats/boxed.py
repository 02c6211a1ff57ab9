r"""The format of OpenMathInstruct-2 and MetaMathQA: prose that ends in \boxed{answer}."""

from __future__ import annotations

from echochamber.formats.boxes import boxes, last_box
from echochamber.formats.layout import layout
from echochamber.formats.sentences import claim
from echochamber.formats.types import Extracted, Worked


class Boxed:
    r"""Prose with a brace-balanced `\boxed{...}`; the last one is the answer."""

    name = "boxed"
    summary = "prose that ends in \\boxed{answer}"

    def render(self, worked: Worked) -> str:
        """One sentence per step, then the boxed answer."""
        sentences = [claim(step, f"{step.shown} = {step.value}") for step in worked.steps]
        return " ".join([*sentences, f"The answer is \\boxed{{{worked.answer}}}."])

    def detect(self, completion: str) -> bool:
        r"""A `\boxed{` or `\fbox{` outside code, closed or left open by the end of the text, or a `\boxed 7`.

        The final box of a tagged-code solution belongs to that format.
        """
        if "box" not in completion:
            return False
        found = layout(completion)
        if found.blocks:
            return False
        complete, is_cut = boxes(found.prose)
        return is_cut or bool(complete)

    def extract(self, completion: str) -> Extracted:
        """Content of the last box outside code, see `last_box`."""
        return Extracted(answer=last_box(layout(completion).prose))
