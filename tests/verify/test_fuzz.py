# ruff: noqa: E501 - a program reads best on one line
"""Random and mutated programs: grading never fails, and tier 1 computes what CPython computes."""

import random
import sys
from collections.abc import Iterator

import pytest

from echochamber.formats import ALL_LABELS
from echochamber.formats.code import ParseError, parse_python
from echochamber.verify import ExecutionLimits, Grader, Outcome
from echochamber.verify.allowlist import is_plain, smallest_tier
from echochamber.verify.programs import single_function
from echochamber.verify.sandboxed import confinement

LIMITS = ExecutionLimits(seconds=0.3, confined_seconds=1.0)
SEEDS = (
    "def simple_math_problem():\n    apples = 12 - 5\n    return apples * 2",
    "import math\n\ndef half(x: float) -> float:\n    return x / 2\n\ndef solution():\n    return math.floor(half(37))",
    "<llm-code>\nimport math\nx = [n for n in range(10) if n % 3 == 0]\nprint(sum(x))\nlen(x)\n</llm-code>\nSo \\boxed{4}.",
    "Tom has 12-5=<<12-5=7>>7 apples.\n#### 7",
    "We define $x = 7$.\n\nThe answer is \\boxed{\\frac{14}{2}}.",
)
PIECES = (
    "def f():\n", "    return ", "\n", "(", ")", "[", "]", "{", "}", "'''", '"', "while True:\n", "lambda: ", "import os\n",
    "<llm-code>", "</llm-code>", "\\boxed{", "#### ", "<<1+1=", ">>", "```python\n", "```", "class A:\n", "yield ",
    "__class__", "exec('1')", "9" * 50, "\x00", "\ud800", "é", "print(", ".format", "**", "0x", "1e999", "%", ";", "@",
)  # fmt: skip


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    with Grader(limits=LIMITS, workers=2) as shared:
        yield shared


def mutated(rng: random.Random) -> str:
    text = rng.choice(SEEDS)
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(text) + 1)
        end = min(len(text), start + rng.choice((0, 0, 1, 3, 12)))
        text = text[:start] + rng.choice((*PIECES, "")) + text[end:]
    return text


def test_mutated_completions_are_graded_whatever_they_are(grader: Grader) -> None:
    rng = random.Random(1)
    texts = [mutated(rng) for _ in range(800)] + ["".join(rng.choices(PIECES, k=12)) for _ in range(200)]
    for verdict in grader.grade(texts, ["7"] * len(texts)):
        assert verdict.format in ALL_LABELS()
        assert verdict.reward == float(verdict.outcome is Outcome.correct)
    after = grader.grade(["def f():\n    return 3 + 4 + 0 * 99"], ["7"])
    assert after[0].outcome is Outcome.correct


@pytest.mark.skipif(bool(confinement.refusal()), reason="programs cannot be confined here")
def test_mutated_programs_in_tier_2() -> None:
    rng = random.Random(2)
    texts = [mutated(rng) for _ in range(30)]
    with Grader(tiers=(2,), limits=LIMITS, workers=1) as grader:
        assert all(verdict.format in ALL_LABELS() for verdict in grader.grade(texts, ["7"] * len(texts)))


def expression(rng: random.Random, names: list[str], depth: int = 3) -> str:
    if depth == 0 or rng.random() < 0.25:
        number = rng.choice((str(rng.randint(0, 200)), f"{rng.uniform(0, 50):.3f}"))
        return rng.choice([*names, number])
    left, right = (expression(rng, names, depth - 1) for _ in range(2))
    form = rng.randrange(12)
    if form < 6:
        return f"({left} {rng.choice(('+', '-', '*', '/', '//', '%'))} {right})"
    return (
        f"round({left}, {rng.randint(0, 3)})",
        f"max({left}, {right})",
        f"abs({left})",
        f"int({left})",
        f"({left} if {left} > {right} else {right})",
        f"sum([{left}, {right}, *[n * 0.5 for n in range(4)]])",
    )[form - 6]


def arithmetic(rng: random.Random) -> str:
    names: list[str] = []
    lines = []
    for index in range(rng.randint(1, 6)):
        lines.append(f"    v{index} = {expression(rng, names)}")
        names.append(f"v{index}")
    return "def simple_math_problem():\n" + "\n".join(lines) + f"\n    return {names[-1]}"


def test_tier_1_computes_what_cpython_computes(grader: Grader) -> None:
    rng = random.Random(3)
    programs = [arithmetic(rng) for _ in range(600)]
    verdicts = grader.grade(programs, ["1"] * len(programs))
    for program, verdict in zip(programs, verdicts, strict=True):
        # Our own generator wrote these programs: they hold nothing but arithmetic.
        namespace: dict[str, object] = {}
        exec(program, namespace)
        try:
            expected = repr(namespace["simple_math_problem"]())  # type: ignore[operator]
        except (ZeroDivisionError, OverflowError, ValueError):
            assert verdict.outcome is Outcome.runtime_error, program
            continue
        assert verdict.answer == expected, program


@pytest.mark.parametrize(
    ("program", "tier"),
    [
        ("x = 1\nx + 1", 1),
        ("import math\nmath.sqrt(4)", 1),
        ("from math import sqrt as root\nroot(4)", 1),
        ("import math as m\nm.floor(2.5)", 1),
        ("import time\ntime.time()", 1),
        ("import datetime\ndatetime.datetime(2024, 1, 1).day", 1),
        ("[x for x in 'a b'.split()]", 1),
        ("class A:\n    def __init__(self):\n        self.n = 1\nA().n", 1),
        ("undefined_name + 1", 1),
        ("import time\ntime.sleep(1)", 2),
        ("import sympy", 2),
        ("from fractions import Fraction", 2),
        ("from math import *", 2),
        ("from . import x", 2),
        ("import math\nmath.__loader__", 2),
        ("(1).bit_length()", 2),
        ("f = 'a'.upper\nf()", 2),
        ("class A(int):\n    pass", 2),
        ("class A:\n    def __eq__(self, other):\n        return True", 2),
        ("def f():\n    yield 1", 2),
        ("async def f():\n    pass", 2),
        ("with open('x') as f:\n    pass", 2),
        ("x = 1\ndel x", 2),
        ("input()", 2),
        ("eval('1')", 2),
        ("getattr(1, 'real')", 2),
        ("__import__('os')", 2),
        ("().__class__", 2),
        ("b'a'", 2),
    ],
)
def test_the_smallest_tier(program: str, tier: int) -> None:
    assert smallest_tier(parse_python(program)) == tier


TELLING = (
    "x = a . real", "def f():\n    return input()", "import math", "@cache\ndef f(): pass", "def f[T](x): pass", "x = b'1'",
    'def f():\n    """It has 3. Then?"""\n    return open', "x = '#' + a.real", "x = '''\n\"\"\"'''; a.b; c = '\"\"\"'",
    "x = 1 if\\\n  a.real else 2", "del x", "class A: pass", "x = ｅval", "type X = int", "match x:\n  case {}: pass", "x = __name__",
)  # fmt: skip


@pytest.mark.parametrize("source", TELLING)
def test_telling_signs_are_seen_without_a_tree(source: str) -> None:
    assert not is_plain(source)


def test_plain_programs_are_seen_without_a_tree() -> None:
    source = 'def f():\n    """Tom has 5. He ate 2."""\n    left = 5 - 2  # that is 3. Then\n    return max(left, 1)'
    assert is_plain(source)


def test_plain_never_contradicts_the_tree() -> None:
    rng = random.Random(5)
    seen = 0
    for text in [*(mutated(rng) for _ in range(20_000)), *TELLING]:
        if is_plain(text):
            try:
                tree = parse_python(text)
            except ParseError:
                continue
            seen += 1
            assert smallest_tier(tree) == 1, text
    assert seen > 100


BODY = (
    "    a = 12 - 5\n", "    b = (a + 1) * 2\n", '    """Tom has 5. He ate 2."""\n', "    # now 3. Then\n", "\n", "    if a > 3:\n",
    "        a += 1\n", "    else:\n        a = 007\n", "    for i in range(3):\n", "        b = a if a else 1\n", "  c = 1\n",
    "    return a * 2\n", "    return round(a / 3, 2)\n", "    print(a)\n", "    x = f'{a}'\n", "    del a\n", "    return\n", "\t", "   ",
    "    a = [1, 2][0]\n", "    a = (1,\n2)\n", "    a = 1or 2\n", "    x: int = 5\n", "    return max(a, 1", "    retur",
    "    def g(): return 4\n", "    '''", "The answer is 14.\n", "#### 14\n", "\\boxed{14}", "return 3\n", "    lambda: 1\n",
)  # fmt: skip


def function_text(rng: random.Random) -> str:
    header = rng.choice(
        ("def simple_math_problem():\n", "def f() -> int:\n", "def f(x):\n", "def f() :\n", "\ndef f():\n")
    )
    text = header + "    a = 12\n" * rng.randint(0, 1) + "".join(rng.choices(BODY, k=rng.randint(1, 5)))
    return text + rng.choice(("", "    return a", "    return 14\n", "    return 7 * 2"))


def test_quick_reading_gives_the_verdicts_of_careful_reading(
    grader: Grader, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(6)
    texts = list(dict.fromkeys(function_text(rng) for _ in range(4000)))
    assert sum(single_function(text) is not None for text in texts) > 300
    quick = grader.grade(texts, ["14"] * len(texts))
    module = sys.modules["echochamber.verify.grader"]
    monkeypatch.setattr(module, "single_function", lambda text: None)
    module._read.cache_clear()  # type: ignore[attr-defined]
    with Grader(limits=LIMITS, workers=2) as careful:
        for text, one, other in zip(texts, quick, careful.grade(texts, ["14"] * len(texts)), strict=True):
            assert one == other, text
    module._read.cache_clear()  # type: ignore[attr-defined]
    assert {verdict.outcome for verdict in quick} >= {Outcome.correct, Outcome.wrong, Outcome.syntax_error}
