r"""The format of OpenMathInstruct-1: tagged code blocks, their output, and a final \boxed sentence."""

from __future__ import annotations

from echochamber.formats.boxes import last_box
from echochamber.formats.layout import layout
from echochamber.formats.types import Extracted, Program, Worked


class LlmCode:
    """Code between `<llm-code>` tags; the answer is the value of its last expression."""

    name = "llm_code"
    summary = "code between <llm-code> tags, its output, a final \\boxed sentence"

    def render(self, worked: Worked) -> str:
        """One block of assignments that ends with the name of the result, its output, the boxed answer."""
        result = worked.steps[-1].name if worked.steps else worked.answer
        lines = [f"{step.name} = {step.expression}" for step in worked.steps]
        return "\n".join(
            [
                "<llm-code>",
                *lines,
                result,
                "</llm-code>",
                "<llm-code-output>",
                worked.answer,
                "</llm-code-output>",
                f"The answer is \\boxed{{{worked.answer}}}.",
            ]
        )

    def detect(self, completion: str) -> bool:
        """A pair of `<llm-code>` tags, or one at the margin that the end of the text left open."""
        return "<llm-code>" in completion and bool(layout(completion).blocks)

    def extract(self, completion: str) -> Extracted:
        """All blocks as one program; the box after them as the stated answer."""
        found = layout(completion)
        return Extracted(Program(found.blocks, calls_function=False), last_box(found.prose))
