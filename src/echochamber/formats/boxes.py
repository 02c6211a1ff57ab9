r"""Finding `\boxed{...}` with balanced braces."""

from __future__ import annotations

import re

# An escaped character is markup of its own: `\{` and `\}` delimit a set and are not braces. A box without
# braces holds a number; more would be guessing.
_TOKEN = re.compile(
    r"\\(?:f?boxed|fbox)[ \t]*+(?:(?P<box>\{)|(?P<bare>[-+]?\$?[0-9][0-9.,]*+))|\\.|[{}]", re.DOTALL
)
# What may separate boxes that together give one answer: `\boxed{-2} \text{ and } \boxed{1}`.
_JOINT = re.compile(r"\$?[ \t\n]*+(?:,|(?:\\text ?\{)?[ \t]*+(?:and|or)[ \t]*+\}?)[ \t\n]*+\$?")
_BLANK = " \t\r\n{}$"


def boxes(text: str) -> tuple[list[tuple[int, int]], bool]:
    r"""The complete boxes of a text (`\boxed{..}`, `\fbox{..}`, `\boxed 7`), in one pass over it.

    Returns:
        (start, end) of each content, in the order in which the boxes close, and
        whether a further box was opened and never closed.
    """
    complete: list[tuple[int, int]] = []
    # Starts of open boxes; 0 for any other open brace.
    stack: list[int] = []
    for match in _TOKEN.finditer(text):
        if match["box"]:
            stack.append(match.end())
        elif match["bare"]:
            complete.append(match.span("bare"))
        elif match[0] == "{":
            stack.append(0)
        elif match[0] == "}" and stack and (start := stack.pop()):
            complete.append((start, match.start()))
    return complete, any(stack)


def last_box(text: str) -> str | None:
    r"""Content of the last nonempty complete box, None if there is no box.

    A box within a box is unwrapped. Boxes joined by a comma or by `and` are one answer, a list. A box
    without content (`\boxed{}`, as the task names it) is the answer only if there is no other.
    """
    if "box" not in text:
        return None
    found, _ = boxes(text)
    complete = [span for span in found if text[slice(*span)].strip(_BLANK)]
    if not complete:
        return "" if found else None
    parts: list[str] = []
    start = len(text)
    while complete:
        begin, end = complete.pop()
        if parts and not _JOINT.fullmatch(_between(text, end, start)):
            break
        start = begin
        while complete and complete[-1][0] > begin:
            begin, end = complete.pop()
        parts.append(text[begin:end])
    return ", ".join(dict.fromkeys(reversed(parts)))


def _between(text: str, end: int, start: int) -> str:
    r"""The text between the end of one content and the beginning of the next: at most a few words."""
    if start - end > 40:
        return text[end : end + 40]
    return text[end:start].removeprefix("}").rpartition("\\")[0]
