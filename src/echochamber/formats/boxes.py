r"""Finding `\boxed{...}` with its braces in balance."""

from __future__ import annotations

import re

_BOX = re.compile(r"\\f?boxed[ \t]*\{")


def balanced_end(text: str, start: int) -> int | None:
    r"""Index of the brace that closes the one just before `start`; None if the text ends first.

    `\{` and `\}` are characters of a set, not braces of the markup.
    """
    depth, position = 1, start
    while position < len(text):
        character = text[position]
        if character == "\\":
            position += 2
            continue
        if character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
            if depth == 0:
                return position
        position += 1
    return None


def boxes(text: str) -> list[str | None]:
    r"""Contents of the outermost `\boxed{...}` of a text; None stands for one that was cut off."""
    found: list[str | None] = []
    position = 0
    while match := _BOX.search(text, position):
        end = balanced_end(text, match.end())
        if end is None:
            found.append(None)
            position = match.end()
            continue
        found.append(text[match.end() : end])
        position = end + 1
    return found


def last_box(text: str) -> str | None:
    r"""Content of the last complete `\boxed{...}`, a box within a box unwrapped; None if there is none."""
    if "boxed" not in text:
        return None
    complete = [box for box in boxes(text) if box is not None]
    if not complete:
        return None
    inner = last_box(complete[-1])
    return complete[-1] if inner is None else inner
