r"""Finding `\boxed{...}` with its braces in balance."""

from __future__ import annotations

import re

# An escaped character is markup of its own: `\{` and `\}` are signs of a set, not braces.
_TOKEN = re.compile(r"(?P<box>\\f?boxed[ \t]*\{)|\\.|[{}]", re.DOTALL)


def boxes(text: str) -> tuple[list[tuple[int, int]], bool]:
    r"""The complete `\boxed{...}` of a text, in one pass over it.

    Returns:
        (start, end) of each content, in the order in which the boxes close, and
        whether another box was opened and never closed.
    """
    complete: list[tuple[int, int]] = []
    # Starts of open boxes; 0 for any other open brace.
    stack: list[int] = []
    for match in _TOKEN.finditer(text):
        if match["box"]:
            stack.append(match.end())
        elif match[0] == "{":
            stack.append(0)
        elif match[0] == "}" and stack and (start := stack.pop()):
            complete.append((start, match.start()))
    return complete, any(stack)


def last_box(text: str) -> str | None:
    r"""Content of the last complete `\boxed{...}`, a box within a box unwrapped; None if there is none."""
    if "boxed" not in text:
        return None
    complete, _ = boxes(text)
    if not complete:
        return None
    start, end = complete.pop()
    while complete and complete[-1][0] > start:
        start, end = complete.pop()
    return text[start:end]
