"""Running one generated program, in a child of the fork server that has already given up its rights."""

from __future__ import annotations

import ast
import contextlib
import io
import sys
import warnings
from typing import Any

from echochamber.verify.sandboxed import fixed_world
from echochamber.verify.sandboxed.frames import frame, write_all
from echochamber.verify.sandboxed.values import MAX_TEXT, last_line, limited, scalar


class _Bounded(io.TextIOBase):
    """Standard output in memory, up to a limit."""

    def __init__(self, limit: int) -> None:
        self.parts: list[str] = []
        self.left = limit

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        self.left -= len(text)
        if self.left < 0:
            raise MemoryError("too much output")
        self.parts.append(text)
        return len(text)


def prepare() -> None:
    """Preparation that every child needs, done once before the first fork."""
    warnings.simplefilter("ignore")
    sys.stdin = io.StringIO("")
    sys.set_int_max_str_digits(MAX_TEXT)


def run_job(channel: int, request: dict[str, Any]) -> None:
    """Run the program of a request and write its result as one message."""
    fixed_world.fix()
    write_all(channel, frame(run(request["source"], request["output_bytes"])))


def run(source: str, output_bytes: int) -> dict[str, str]:
    """Status, value and last printed line of a program, all blocks in one namespace."""
    if "rand" in source and "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    output = _Bounded(output_bytes)
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(_Bounded(output_bytes)):
            kind, text = _described(_value(source))
    except MemoryError:
        return {"status": "memory"}
    except SyntaxError:
        return {"status": "syntax_error"}
    except BaseException:  # noqa: BLE001 - a program may raise anything, SystemExit included
        return {"status": "runtime_error"}
    return {"status": "ok", "kind": kind, "value": text, "output": last_line("".join(output.parts))}


def _value(source: str) -> Any:
    """Run a program and return the value of its last expression, None if it ends with a statement."""
    tree = ast.parse(source)
    namespace: dict[str, Any] = {"__name__": "__main__", "__builtins__": __builtins__}
    last = tree.body[-1] if tree.body else None
    if not isinstance(last, ast.Expr):
        exec(compile(tree, "<program>", "exec"), namespace)
        return None
    tree.body.pop()
    exec(compile(tree, "<program>", "exec"), namespace)
    return eval(compile(ast.Expression(last.value), "<program>", "eval"), namespace)


def _described(value: Any) -> tuple[str, str]:
    """(kind, text) of a value; numbers of numpy and sympy become plain ones, expressions become LaTeX."""
    import numpy
    import sympy

    value = _single(value)
    if isinstance(value, numpy.generic):
        value = value.item()
    if isinstance(value, sympy.Integer):
        return scalar(int(value))
    if isinstance(value, sympy.Float):
        return scalar(float(value))
    if isinstance(value, sympy.Rational):
        return limited("ratio", _ratio, (value.p, value.q))
    if isinstance(value, sympy.Basic | sympy.MatrixBase):
        return "latex", str(sympy.latex(value))[:MAX_TEXT]
    if isinstance(value, list | tuple | set | frozenset) and any(
        isinstance(item, sympy.Basic) for item in value
    ):
        return "latex", str(sympy.latex(value))[:MAX_TEXT]
    if type(value).__module__ == "fractions":
        return limited("ratio", _ratio, (value.numerator, value.denominator))
    if isinstance(value, numpy.ndarray):
        return "other", str(value.tolist())[:MAX_TEXT] if value.size <= 64 else "an array"
    return scalar(value)


def _ratio(parts: tuple[Any, Any]) -> str:
    return "/".join(int.__repr__(int(part)) for part in parts)


def _single(value: Any) -> Any:
    """The only entry of a one-entry collection, as equation solvers return; anything else unchanged."""
    import numpy
    import sympy

    if isinstance(value, sympy.FiniteSet) and len(value) == 1:
        return value.args[0]
    if isinstance(value, numpy.ndarray) and value.size == 1:
        return value.reshape(-1)[0]
    if type(value) in (list, tuple, set, frozenset) and len(value) == 1:
        return next(iter(value))
    return value
