# ruff: noqa: E501 - a program reads best on one line
"""Programs whose result forges its type, has no end or cannot be written: each is graded, and the next is clean."""

from pathlib import Path

import pytest

from echochamber.verify import ExecutionLimits, Grader, Outcome
from echochamber.verify.sandboxed import confinement

LIMITS = ExecutionLimits(seconds=0.5, confined_seconds=2.0)
needs_confinement = pytest.mark.skipif(bool(confinement.refusal()), reason=f"{confinement.refusal()}")

FORGED: dict[str, str] = {
    "Decimal with a text of its own": "from decimal import Decimal\nclass D(Decimal):\n    def __str__(self):\n        return '9' * 60_000\n    __repr__ = __format__ = __str__\nD(17)",
    "Decimal with an exponent of its own": "from decimal import Decimal\nclass D(Decimal):\n    def adjusted(self):\n        return 'x'\n    def is_finite(self):\n        raise KeyError\nD('1e999999')",
    "Decimal beyond every exponent": "from decimal import Decimal\nDecimal('1e999999999999')",
    "Decimal without value": "from decimal import Decimal\nDecimal('sNaN123')",
    "Decimal of a million digits": "from decimal import Decimal\nDecimal('9' * 10**6)",
    "str of its own": "class S(str):\n    def __str__(self):\n        return 18\n    __len__ = __getitem__ = encode = __str__\nS('17')",
    "int of its own": "class I(int):\n    def __repr__(self):\n        return b'18'\n    __str__ = __index__ = __int__ = __repr__\nI(17)",
    "float of its own": "class F(float):\n    def __repr__(self):\n        return None\n    is_integer = as_integer_ratio = __repr__\nF(17.5)",
    "bool by class": "class B:\n    __class__ = bool\nB()",
    "int by class": "class B:\n    __class__ = int\n    def __repr__(self):\n        return '18'\nB()",
    "Decimal by class": "from decimal import Decimal\nclass B:\n    @property\n    def __class__(self):\n        return Decimal\nB()",
    "class that raises": "class B:\n    @property\n    def __class__(self):\n        raise SystemExit\nB()",
    "hash and equality that raise": "class B(int):\n    def __eq__(self, other):\n        raise RuntimeError\n    def __hash__(self):\n        raise RuntimeError\nB(17)",
    "repr that raises": "class B:\n    def __repr__(self):\n        raise RuntimeError\n[B(), B()]",
    "repr that exits": "class B:\n    def __repr__(self):\n        raise SystemExit\n[B(), B()]",
    "repr that is huge": "class B:\n    def __repr__(self):\n        return 'x' * 10**7\n[B(), B()]",
    "repr that recurses": "class B:\n    def __repr__(self):\n        return repr([self, self])\n[B(), B()]",
    "repr that is no text": "class B:\n    def __repr__(self):\n        return 18\n[B(), B()]",
    "repr of surrogates": "class B:\n    def __repr__(self):\n        return chr(0xd83d)\n[B(), B()]",
    "list of lists of lists": "x = []\nfor _ in range(100_000):\n    x = [x]\nx",
    "list that holds itself": "x = []\nx.append(x)\nx.append(x)\nx",
    "list that lies about its length": "class L(list):\n    def __len__(self):\n        return 1\n    def __iter__(self):\n        while True:\n            yield 18\nL()",
    "generator": "def g():\n    yield 18\ng()",
    "lambda": "lambda: 18",
    "complex": "complex(18, 1)",
    "Fraction": "from fractions import Fraction\nFraction(35, 2)",
    "Fraction over 0": "from fractions import Fraction\nclass Q(Fraction):\n    numerator = 18\n    denominator = 0\nQ.__module__ = 'fractions'\nQ(1, 2)",
    "nan": "float('nan')",
    "infinity": "float('-inf')",
    "60,000 digits": "10**60_000",
    "60,000 digits, allowed": "import sys\nsys.set_int_max_str_digits(0)\n10**60_000",
    "60,000 digits in a list": "[10**60_000, 1]",
    "60,000 digits printed": "import sys\nsys.set_int_max_str_digits(0)\nprint(10**60_000)",
    "ratio of 60,000 digits": "import sympy\nsympy.Rational(10**60_000 + 1, 7)",
    "surrogate returned": "'\\ud83d'",
    "surrogate printed": "print('17 \\ud83d \\udfff')",
    "zero byte": "'17\\x00'",
    "10 MB printed": "print('9' * 10**7)",
    "10 MB returned": "'9' * 10**7",
    "output of objects": "import sys\nsys.stdout.parts.append(17)\nprint(17)",
    "numpy scalar": "import numpy\nnumpy.float64(17.5)",
    "numpy text": "import numpy\nnumpy.str_('\\ud83d')",
    "numpy array": "import numpy\nnumpy.array([[1, 2], [3, 4]])",
    "numpy objects": "import numpy\nclass B:\n    def __repr__(self):\n        raise RuntimeError\nnumpy.array([B(), B()], dtype=object)",
    "numpy record": "import numpy\nnumpy.zeros(3, dtype='i4,f8')",
    "sympy with a text of its own": "import sympy\nclass X(sympy.Symbol):\n    def _sympystr(self, printer):\n        return 18\n    _latex = _sympystr\nX('x')",
    "sympy that prints an endless text": "import sympy\nclass X(sympy.Symbol):\n    def _latex(self, printer):\n        while True:\n            pass\nX('x')",
    "sympy integer of its own": "import sympy\nclass X(sympy.Integer):\n    def __int__(self):\n        return 'x'\nX(17)",
    "sympy that is no number": "import sympy\nsympy.zoo",
    "sympy power tower": "import sympy\nsympy.Integer(10)**sympy.Integer(10)**sympy.Integer(10)",
    "exception group": "raise ExceptionGroup('x', [ValueError(1)])",
    "json taken over": "import json\njson.dumps = lambda *a, **k: '{\"status\": [18]}'\n17",
    "builtins taken over": "import builtins\nbuiltins.type = builtins.len = builtins.issubclass = lambda *a: None\n17",
    "channel of its own": "import sys\nv = sys.modules['echochamber.verify.sandboxed.program_child']\nv.scalar = lambda value: (['int'], {'value': 18})\n17",
    "kind of its own": "import sys\nv = sys.modules['echochamber.verify.sandboxed.program_child']\nv.scalar = lambda value: ('int', '9' * 4500)\n17",
}  # fmt: skip


@pytest.mark.parametrize("tiers", [(1,), pytest.param((1, 2), marks=needs_confinement)])
def test_a_forged_result_is_data(tmp_path: Path, tiers: tuple[int, ...]) -> None:
    texts: list[str] = []
    for number, program in enumerate(FORGED.values()):
        after = f"3 + 15 + 0 * {number}"
        texts += [f"<llm-code>\n{program}\n</llm-code>", f"<llm-code>\n{after}\n</llm-code>"]
    golds, journal = ["18"] * len(texts), tmp_path / "verdicts.jsonl"
    with Grader(tiers=tiers, limits=LIMITS, journal=journal) as grader:
        verdicts = grader.grade(texts, golds)
        by_algebra = grader.grade(texts, golds, rules="math")
    outcomes = dict(zip(FORGED, (verdict.outcome for verdict in verdicts[::2]), strict=True))
    assert all(verdict.reward == 0.0 for verdict in verdicts[::2]), outcomes
    assert all(outcome is not Outcome.no_answer for outcome in outcomes.values())
    assert all(verdict.outcome is Outcome.correct for verdict in verdicts[1::2])
    with Grader(tiers=tiers, limits=LIMITS, journal=journal) as grader:
        assert grader.grade(texts, golds) == verdicts
        assert grader.grade(texts, golds, rules="math") == by_algebra
        assert not grader._interpreters._children, "a restart ran programs again"  # type: ignore[union-attr]
