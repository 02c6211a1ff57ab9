"""How reliably labels are recognized: a confusion matrix, and texts written to mislead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from echochamber.formats.registry import ALL_LABELS, AMBIGUOUS, NONE, classify

_FUNCTION = "def simple_math_problem():\n    apples = 12 - 5\n    return apples"
_TAGGED = (
    "<llm-code>\napples = 12 - 5\napples\n</llm-code>\n<llm-code-output>\n7\n</llm-code-output>\n"
    "The answer is \\boxed{7}."
)

ADVERSARIAL: tuple[tuple[str, str], ...] = (
    (NONE, ""),
    (NONE, "The answer is 7."),
    (NONE, "We define the deficit as the default definition of undefined defects."),
    (NONE, "def: short for definition. def f(x) means a function of x."),
    (NONE, "To define a function, write def name(arguments): and then its body."),
    (NONE, "In Python one writes `def f(x): return x`, and is done."),
    (NONE, "For example:\n\n    def f(x):\n        return x\n\nBut we do not need it."),
    (NONE, "Put the code between <llm-code> and the closing tag."),
    (NONE, "The number is boxed: [7]. One writes \\boxed for it."),
    (NONE, "#### Step 1\nSubtract.\n\n#### 2. Check\nDone."),
    (NONE, "x << 2 = 8 shifts the bits; y >> 1 = 4."),
    (NONE, "<llm-code-output>\n7\n</llm-code-output>"),
    (NONE, "7 7 7 7 7 7 7 7 7 7 7 7"),
    (NONE, "apples = 12 - 5\nprint(apples)"),
    (NONE, "```python\napples = 12 - 5\nprint(apples)\n```"),
    ("boxed", "We define the deficit d = 12 - 5 = 7. The answer is \\boxed{7}."),
    ("boxed", "The function `def f(x): return x` is not needed. The answer is $\\boxed{7}$."),
    ("boxed", "For example:\n\n    def f(x):\n        return x\n\nBy hand we find \\boxed{\\frac{14}{2}}."),
    ("boxed", "One could use <llm-code> tags here. By hand: \\boxed{7}"),
    ("boxed", "By default \\[ 12 - 5 = \\boxed{7} \\]"),
    ("boxed", "The answer is \\boxed{\\frac{14}{"),
    ("boxed", "```\n12 - 5 = \\boxed{7}\n```"),
    ("gsm8k", "By definition Tom keeps 12-5=<<12-5=7>>7 apples.\n#### 7"),
    ("gsm8k", "Tom keeps 12 - 5 = <<12-5=7>>7 apples and then"),
    ("gsm8k", "Tom keeps the default 7.\n#### $7"),
    ("tinygsm", _FUNCTION),
    ("tinygsm", _FUNCTION[:60]),
    ("tinygsm", "import math\n\n\n" + _FUNCTION + "\n\nprint(simple_math_problem())"),
    ("tinygsm", "Here is a program.\n\n" + _FUNCTION + "\n\nIt returns the number of apples."),
    ("tinygsm", "Here is a program.\n\n```python\n" + _FUNCTION + "\n```\nIt returns 7."),
    ("tinygsm", "def f():\n    '''The answer is \\boxed{7}.\n#### 7\n    '''\n    return 7"),
    ("tinygsm", "def f():\n    return '<<12-5=7>>7 \\\\boxed{7}'  # #### 7"),
    ("tinygsm", "def f():\n    apples = 12 -* 5\n    return apples"),
    ("llm_code", _TAGGED),
    ("llm_code", _TAGGED[:40]),
    ("llm_code", "Let us solve this.\n<llm-code>\ndef f():\n    return 7\nf()\n</llm-code>\nSo \\boxed{7}."),
    ("llm_code", "<llm-code>\n# \\boxed{3} #### 3 <<1+2=3>>\n7\n</llm-code>"),
    (AMBIGUOUS, _FUNCTION + "\n\nThe answer is \\boxed{7}."),
    (AMBIGUOUS, _FUNCTION + "\n#### 7"),
    (AMBIGUOUS, "```python\n" + _FUNCTION + "\n```\nSo the answer is \\boxed{7}."),
    (AMBIGUOUS, "Tom keeps 12-5=<<12-5=7>>7 apples: \\boxed{7}\n#### 7"),
    (AMBIGUOUS, "<llm-code>\n7\n</llm-code>\n" + _FUNCTION),
    (AMBIGUOUS, "<llm-code>\n7\n</llm-code>\n#### 7"),
)
"""(expected label, text): words without structure, quoted code, two formats in one, cut-off texts."""


@dataclass(frozen=True, slots=True)
class Quality:
    """A confusion matrix.

    Attributes:
        counts: number of texts by expected label, then by the label given; all labels are present.
        correct, total: texts with the expected label, and all.
        mistakes: (expected, given, text) of the others, at most the first fifty.
    """

    counts: Mapping[str, Mapping[str, int]]
    correct: int
    total: int
    mistakes: tuple[tuple[str, str, str], ...]


def quality(examples: Iterable[tuple[str, str]] = ADVERSARIAL) -> Quality:
    """Classify (expected label, text) pairs and count; by default the texts written to mislead."""
    labels = ALL_LABELS()
    counts = {expected: dict.fromkeys(labels, 0) for expected in labels}
    mistakes: list[tuple[str, str, str]] = []
    correct = total = 0
    for expected, text in examples:
        given = classify(text)
        counts[expected][given] += 1
        total += 1
        if given == expected:
            correct += 1
        elif len(mistakes) < 50:
            mistakes.append((expected, given, text))
    return Quality(counts, correct, total, tuple(mistakes))
