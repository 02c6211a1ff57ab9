"""Whether two expressions are equal: exactly if rational, otherwise to many digits and at many points.

Runs in the comparer's confined children only. `simplify` is not used: it may take forever, and it calls
1/2^88 and 1/2^89 equal because their difference is small. Two expressions that agree to 80 digits, or in all
variables at a dozen points, are equal for any purpose of grading.
"""

from __future__ import annotations

import contextlib
from fractions import Fraction
from typing import Any

from echochamber.verify.math_forms import Form

_DIGITS, _AGREEMENT = 100, 80
_MIN_POINTS, _MAX_VARIABLES = 3, 8
# Values for the first variable; further variables use them shifted. Where neither side is real (a root of a
# negative number) a point says nothing, so `\\sqrt{2/n}` is `\\sqrt2/\\sqrt n`, but `\\sqrt{x^2}` is not x.
_POINTS = tuple(
    Fraction(point)
    for point in ("3/7", "11/13", "17/5", "29/8", "-5/9", "-23/11", "-37/6", "2", "5", "7", "11", "13")
)
_FLOAT_ERROR = Fraction(1, 10**12)


class Sympy:
    """Decides by computing."""

    def equal(self, answer: str, gold: str) -> bool:
        """Whether two expressions in LaTeX have the same value; what cannot be parsed equals nothing."""
        given, target = parsed(answer), parsed(gold)
        if given is None or target is None:
            return False
        if _is_number_like(given) and _is_number_like(target):
            return _same(given, target, _printed_float(answer))
        if _is_number_like(given) or _is_number_like(target):
            return False
        return _same_object(given, target)

    def same_relation(self, answer: Form, gold: Form) -> bool:
        """Whether `left - right` of both differ by a constant factor, one above 0 for the same inequality."""
        given, target = _difference(answer), _difference(gold)
        if given is None or target is None:
            return False
        factors = []
        for point in _substitutions(given, target):
            top, bottom = _at(given, point), _at(target, point)
            if top is None or bottom is None:
                continue
            if not _is_zero(top) and not _is_zero(bottom):
                factors.append(top / bottom)
            elif _is_zero(top) != _is_zero(bottom):
                return False
        if len(factors) < _MIN_POINTS or not all(_close(factor, factors[0]) for factor in factors):
            return False
        if answer.sign in ("=", "!="):
            return True
        return bool(factors[0] > 0) == (answer.sign == gold.sign)


def parsed(text: str) -> Any:
    """The sympy object of a LaTeX text, decimals as exact fractions; None if there is none."""
    from latex2sympy2_extended import latex2sympy
    from sympy import I, Rational

    with contextlib.suppress(Exception):
        found = latex2sympy(text, is_real=True, convert_degrees=False, normalization_config=None)
        if hasattr(found, "doit"):
            found = found.doit()
        found = found.replace(lambda part: part.is_Float, lambda part: Rational(str(part)))
        imaginary = [symbol for symbol in found.free_symbols if symbol.name == "i"]
        return found.subs(dict.fromkeys(imaginary, I))
    return None


def _is_number_like(value: Any) -> bool:
    from sympy import Expr, MatrixBase, MatrixExpr

    return isinstance(value, Expr) and not isinstance(value, MatrixBase | MatrixExpr)


def _same(given: Any, target: Any, is_float: bool) -> bool:
    """Whether two scalar expressions agree wherever both can be computed."""
    if given == target:
        return True
    if given.is_Rational and target.is_Rational and not is_float:
        return False
    points = list(_substitutions(given, target))
    compared = 0
    for point in points:
        left, right = _at(given, point), _at(target, point)
        if left is None or right is None:
            continue
        if not (_is_real(left) and _is_real(right)) and point:
            if _is_real(left) != _is_real(right):
                return False
            if not _has_imaginary(given, target):
                continue
        if not _close(left, right, _FLOAT_ERROR if is_float else None):
            return False
        compared += 1
    return compared >= min(_MIN_POINTS, len(points))


def _substitutions(*values: Any) -> list[dict[Any, Any]]:
    """Points at which to compare; one empty point where there are no variables."""
    from sympy import Rational

    symbols: dict[str, list[Any]] = {}
    for value in values:
        for symbol in value.free_symbols:
            symbols.setdefault(symbol.name, []).append(symbol)
    if not symbols:
        return [{}]
    if len(symbols) > _MAX_VARIABLES:
        return []
    points = []
    for shift in range(len(_POINTS)):
        point: dict[Any, Any] = {}
        for index, name in enumerate(sorted(symbols)):
            value = _POINTS[(shift + 5 * index) % len(_POINTS)] + Fraction(index, 1)
            point |= dict.fromkeys(symbols[name], Rational(value.numerator, value.denominator))
        points.append(point)
    return points


def _at(value: Any, point: dict[Any, Any]) -> Any:
    """The value at a point: exact if rational, else to many digits; None if it is not finite there."""
    with contextlib.suppress(Exception):
        found = value.subs(point).replace(_is_odd_root, _real_root)
        if not found.is_Rational:
            found = found.evalf(_DIGITS)
        if found.is_number and found.is_finite and (found.is_Rational or not found.free_symbols):
            return found
    return None


def _is_odd_root(part: Any) -> bool:
    """Whether a part is an odd root of a negative number, for which sympy chooses a complex root."""
    return bool(
        part.is_Pow and part.base.is_negative and part.exp.is_Rational and part.exp.q > 1 and part.exp.q % 2
    )


def _real_root(part: Any) -> Any:
    return (-1) ** part.exp.p * (-part.base) ** part.exp


def _is_real(value: Any) -> bool:
    return bool(value.is_real) or bool(abs(value.as_real_imag()[1]) < abs(value) * 10**-_AGREEMENT)


def _has_imaginary(*values: Any) -> bool:
    from sympy import I

    return any(value.has(I) for value in values)


def _is_zero(value: Any) -> bool:
    return bool(abs(value) < 10**-_AGREEMENT)


def _close(left: Any, right: Any, error: Fraction | None = None) -> bool:
    """Whether two numbers agree relative to their size: exactly if both are rational."""
    from sympy import Rational

    if error is None and left.is_Rational and right.is_Rational:
        return bool(left == right)
    bound = Rational(error.numerator, error.denominator) if error else Rational(1, 10**_AGREEMENT)
    size = max(abs(left), abs(right))
    return bool(abs(left - right) <= bound * size)


def _printed_float(text: str) -> bool:
    from echochamber.verify.answers import parse_number

    number = parse_number(text)
    return number is not None and number.rounded


def _difference(relation: Form) -> Any:
    sides = [parsed(part.source) for part in relation.parts]
    if any(side is None or not _is_number_like(side) for side in sides):
        return None
    return sides[0] - sides[1]


def _same_object(given: Any, target: Any) -> bool:
    """Whether two matrices or sets are equal, as math-verify compares them."""
    from math_verify import verify

    with contextlib.suppress(Exception):
        return bool(verify([target], [given], timeout_seconds=None))
    return False
