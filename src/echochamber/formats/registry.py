"""The known formats and the one label of a completion."""

from __future__ import annotations

from echochamber.base import InputError, Registry
from echochamber.formats.boxed import Boxed
from echochamber.formats.gsm8k import Gsm8k
from echochamber.formats.llm_code import LlmCode
from echochamber.formats.tinygsm import TinyGsm
from echochamber.formats.types import Format

NONE, AMBIGUOUS = "none", "ambiguous"

_formats: Registry[Format] = Registry("format", methods=("render", "detect", "extract"))


def register_format(fmt: Format) -> Format:
    """Add a format under its `name`; from then on `classify` can return it.

    Raises:
        InputError: the name is taken, or is one of the labels `none` and `ambiguous`, or a method is missing.
    """
    if fmt.name in (NONE, AMBIGUOUS):
        raise InputError(f"a format cannot be named '{fmt.name}': that label is reserved; choose another")
    return _formats.register(fmt.name, fmt)


for _format in (TinyGsm(), LlmCode(), Boxed(), Gsm8k()):
    register_format(_format)


def get_format(name: str) -> Format:
    """The format of that name.

    Raises:
        InputError: unknown name; the message lists the known ones.
    """
    return _formats.get(name)


def format_names() -> tuple[str, ...]:
    """Names of the registered formats, in order of registration."""
    return tuple(_formats)


def ALL_LABELS() -> tuple[str, ...]:  # noqa: N802 - reads as the constant it would be without registration
    """Every label `classify` can give: the formats, then `none` and `ambiguous`."""
    return (*_formats, NONE, AMBIGUOUS)


def detected(completion: str) -> tuple[str, ...]:
    """Names of all formats whose structure the completion shows."""
    return tuple(name for name in _formats if _formats.get(name).detect(completion))


def classify(completion: str) -> str:
    """The one label of a completion.

    That of the format whose structure it shows; `ambiguous` if it shows more than
    one; `none` if it shows none. Total: never raises, whatever the text.
    """
    found = detected(completion)
    if not found:
        return NONE
    return found[0] if len(found) == 1 else AMBIGUOUS
