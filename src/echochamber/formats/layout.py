"""Which parts of a completion are code and which are prose, found once for all formats."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from echochamber.formats.code import function_start, parses, split_program

_OPEN, _CLOSE = "<llm-code>", "</llm-code>"
_OPEN_OUTPUT, _CLOSE_OUTPUT = "<llm-code-output>", "</llm-code-output>"
_FENCE = re.compile(
    r"^[ \t]*+```[ \t]*+(?P<language>[\w+-]*+)[^\n`]*+\n(?P<code>.*?)(?:^[ \t]*+```[ \t]*+$|\Z)",
    re.MULTILINE | re.DOTALL,
)
# A number between backticks is an answer in a fixed-width font, not code.
_INLINE_CODE = re.compile(r"`(?!\$?[-+0-9.,]{1,24}`)[^`\n]++`")
_PYTHON = frozenset({"python", "py", "python3", "ipython", "tool_code"})


@dataclass(frozen=True, slots=True)
class Layout:
    """A completion taken apart.

    Attributes:
        blocks: contents of its `<llm-code>` blocks, in order.
        is_cut: the last block was opened and never closed.
        program: a program with a function definition outside such blocks, or empty.
        prose: everything that is neither code nor the output a model wrote for its code.
    """

    blocks: tuple[str, ...]
    is_cut: bool
    program: str
    prose: str


def _without_outputs(text: str) -> str:
    """Drop `<llm-code-output>` parts: what a model claims that its code printed."""
    kept, position = [], 0
    while (start := text.find(_OPEN_OUTPUT, position)) >= 0:
        kept.append(text[position:start])
        end = text.find(_CLOSE_OUTPUT, start)
        if end < 0:
            return "\n".join(kept)
        position = end + len(_CLOSE_OUTPUT)
    kept.append(text[position:])
    return "\n".join(kept)


def _tagged(text: str) -> tuple[tuple[str, ...], bool, str]:
    """(blocks, whether the last is cut off, the rest) of a text with `<llm-code>` tags."""
    if _OPEN not in text:
        return (), False, text
    blocks, kept, position = [], [], 0
    while (start := text.find(_OPEN, position)) >= 0:
        kept.append(text[position:start])
        inside = start + len(_OPEN)
        end = text.find(_CLOSE, inside)
        if end < 0:
            # Cut off. A tag mentioned in the middle of a sentence, however, opens nothing.
            rest = text[inside:]
            at_margin = not text[:start].rpartition("\n")[2].strip()
            if at_margin and (not rest.strip() or rest[0] in "\r\n"):
                output = rest.find(_OPEN_OUTPUT)
                blocks.append(rest if output < 0 else rest[:output])
                return tuple(blocks), True, _joined(kept)
            kept.append(text[start:])
            return tuple(blocks), False, _joined(kept)
        blocks.append(text[inside:end])
        position = end + len(_CLOSE)
    kept.append(text[position:])
    return tuple(blocks), False, _joined(kept)


def _joined(parts: list[str]) -> str:
    return _without_outputs("\n".join(parts))


def _fenced(text: str) -> tuple[str, str]:
    """(code of the fenced Python blocks if one defines a function, the text without fenced Python)."""
    if "```" not in text:
        return "", text
    sources = []

    def take(match: re.Match[str]) -> str:
        code = match["code"]
        if match["language"].lower() in _PYTHON or function_start(code) is not None:
            sources.append(code)
            return "\n"
        return "\n" if not match["language"] and parses(code) else match[0]

    rest = _FENCE.sub(take, text)
    if any(function_start(source) is not None for source in sources):
        return "\n".join(sources), rest
    return "", rest


@lru_cache(maxsize=4096)
def layout(completion: str) -> Layout:
    """Take a completion apart; never raises."""
    blocks, is_cut, rest = _tagged(completion.replace("\r\n", "\n"))
    if "def " not in rest and "```" not in rest:
        return Layout(blocks, is_cut, "", _INLINE_CODE.sub(" ", rest))
    program, rest = _fenced(rest)
    if not program:
        program, rest = split_program(rest)
    return Layout(blocks, is_cut, program, _INLINE_CODE.sub(" ", rest))
