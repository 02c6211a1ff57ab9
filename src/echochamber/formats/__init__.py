"""Answer formats as pure text: how each one is written, recognized and read.

Recognition is structural (a parsed function definition, paired tags, a
brace-balanced box outside code), never a word that happens to occur, and it
looks at the completion alone. `classify` is total: every text gets one label.
"""

from echochamber.formats.quality import quality
from echochamber.formats.registry import (
    ALL_LABELS,
    classify,
    detected,
    format_names,
    get_format,
    register_format,
)
from echochamber.formats.types import Extracted, Format, Program, Step, Worked

__all__ = [
    "ALL_LABELS",
    "Extracted",
    "Format",
    "Program",
    "Step",
    "Worked",
    "classify",
    "detected",
    "format_names",
    "get_format",
    "quality",
    "register_format",
]
