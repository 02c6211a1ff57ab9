"""The format of TinyGSM: a Python function that returns the answer."""

from __future__ import annotations

from echochamber.formats.layout import layout
from echochamber.formats.types import Extracted, Program, Worked


class TinyGsm:
    """A function definition at the left margin; the answer is what it returns."""

    name = "tinygsm"
    summary = "a Python function that returns the answer"

    def render(self, worked: Worked) -> str:
        """`def simple_math_problem():`, one assignment per step, and a return."""
        result = worked.steps[-1].name if worked.steps else worked.answer
        lines = [f"    {step.name} = {step.expression}" for step in worked.steps]
        return "\n".join(["def simple_math_problem():", *lines, f"    return {result}"])

    def detect(self, completion: str) -> bool:
        """A function definition outside tags, with a body unless the text was cut off there."""
        return bool(layout(completion).program)

    def extract(self, completion: str) -> Extracted:
        """The program with everything at its left margin: imports, helpers, constants."""
        return Extracted(Program((layout(completion).program,), calls_function=True))
