r"""Whether two mathematical answers are equal: of the same form, with values that are equal one by one.

This module decides what rules can decide. The rest, single values and equations, goes to an `Algebra`, which
may answer None (unknown): then the comparison is None and is asked again where a computer algebra system is
available.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Protocol

from echochamber.verify.answers import joined_thousands, parse_number
from echochamber.verify.math_answers import normalized, same_value, tight
from echochamber.verify.math_forms import FLIPPED, LABEL_WORDS, Form, read
from echochamber.verify.spelling import MAX_CHARACTERS

# Decimal places of a printed float that count as its value.
_VOTE_PLACES = 12
_LETTER = re.compile(r"[a-zA-Z]")
_DOTS = ("\\ldots", "\\dots", "\\cdots", "...")


class Algebra(Protocol):
    """Decides what rules cannot; answers None where it cannot decide either."""

    def equal(self, answer: str, gold: str) -> bool | None:
        """Whether two expressions have the same value."""

    def same_relation(self, answer: Form, gold: Form) -> bool | None:
        """Whether two equations or inequalities are equivalent up to a constant factor."""


class Undecided:
    """An algebra that decides nothing."""

    def equal(self, answer: str, gold: str) -> bool | None:
        """Not known."""
        return None

    def same_relation(self, answer: Form, gold: Form) -> bool | None:
        """Not known."""
        return None


_UNDECIDED = Undecided()


def equal_answers(answer: str, gold: str, algebra: Algebra) -> bool | None:
    """Whether two answers in LaTeX are equal; None if `algebra` cannot tell.

    A comma between three digits may separate thousands or entries: if either
    reading makes the answers equal, they are.
    """
    answer, gold = normalized(answer), normalized(gold)
    if tight(answer) == tight(gold):
        return True
    found = [
        _equal(given, target, algebra) for given in _readings(answer) for target in _readings(gold)
    ]  # fmt: skip
    return _any(found)


def vote_key(answer: str) -> str:
    """What an answer votes for: its exact number, or else its normalized text with sorted list entries.

    The last digits of a printed float are not part of its value (`8.000000000000002` is 8). Algebra is not
    consulted: `x+1` and `1+x` are two answers unless the grader has accepted both.
    """
    number = parse_number(answer)
    if number is not None:
        value = round(number.value, _VOTE_PLACES) if number.rounded else number.value
        return f"{value}{'%' if number.percent else ''}"
    if len(answer) > MAX_CHARACTERS:
        return answer
    form = read(normalized(answer))
    if form.kind in ("list", "set") and not any(dots in form.source for dots in _DOTS):
        return ",".join(sorted(vote_key(part.source) for part in form.parts))
    return tight(form.source)


def _readings(text: str) -> list[Form]:
    plain = joined_thousands(text) if not any(sign in text for sign in "([") else text
    return [read(text)] if plain == text else [read(plain), read(text)]


def _equal(answer: Form, gold: Form, algebra: Algebra) -> bool | None:
    """Whether two forms are equal."""
    kinds = (answer.kind, gold.kind)
    if kinds == ("value", "value"):
        same = same_value(answer.source, gold.source)
        return algebra.equal(answer.source, gold.source) if same is None else same
    if "relation" in kinds:
        return _same_relation(answer, gold, algebra)
    if "record" in kinds or _all_named(answer) or _all_named(gold):
        return _equal_names(answer, gold, algebra)
    if "named" in kinds:
        return _equal_named(answer, gold, algebra)
    if "set" in kinds:
        return _equal_sets(answer, gold, algebra)
    if kinds in (("list", "list"), ("union", "union")):
        if any(dots in answer.source + gold.source for dots in _DOTS):
            return _in_order(answer.parts, gold.parts, algebra)
        return _in_any_order(answer.parts, gold.parts, algebra)
    if answer.kind == gold.kind:
        return _in_order(answer.parts, gold.parts, algebra) if answer.sign == gold.sign else False
    if "matrix" in kinds and "value" in kinds:
        return algebra.equal(answer.source, gold.source) if "matrix" in answer.source + gold.source else False
    return False


def _equal_named(answer: Form, gold: Form, algebra: Algebra) -> bool | None:
    """`x = 5` equals 5 and `x = 5`, but not `y = 5`; equations of one line may begin with different names."""
    if answer.kind == gold.kind:
        if answer.sign == gold.sign or _is_the_same_thing(answer.sign, gold.sign):
            return _equal(answer.parts[0], gold.parts[0], algebra)
        is_curve = all(
            form.parts[0].kind == "value" and _LETTER.search(form.parts[0].source) for form in (answer, gold)
        )
        return _same_relation(answer, gold, algebra) if is_curve else False
    if answer.kind == "named":
        return _equal(answer.parts[0], gold, algebra)
    return _equal(answer, gold.parts[0], algebra)


def _is_the_same_thing(name: str, other: str) -> bool:
    """Whether two names may mean the same: words describe a value, and y is the value of a function."""
    if LABEL_WORDS.fullmatch(name) or LABEL_WORDS.fullmatch(other):
        return True
    return "y" in (name, other) and "(" in name + other


def _same_relation(answer: Form, gold: Form, algebra: Algebra) -> bool | None:
    """Equations and inequalities; one solved for a name is accepted if other names remain in it."""
    given, target = _as_relation(answer), _as_relation(gold)
    if (
        given is None
        or target is None
        or (given.sign != target.sign and FLIPPED.get(given.sign) != target.sign)
    ):
        return False
    if given.sign == target.sign and _in_order(given.parts, target.parts, _UNDECIDED):
        return True
    return algebra.same_relation(given, target)


def _as_relation(form: Form) -> Form | None:
    if form.kind == "relation":
        return form
    if form.kind == "named" and form.parts[0].kind == "value" and _LETTER.search(form.parts[0].source):
        return Form("relation", form.source, (Form("value", form.sign), form.parts[0]), "=")
    if form.kind == "named" and form.parts[0].kind == "tuple":
        brackets, (low, high) = form.parts[0].sign, form.parts[0].parts[:2]
        if low.source == "-\\infty":
            return Form("relation", "", (Form("value", form.sign), high), "<" if brackets[1] == ")" else "<=")
        if high.source == "\\infty":
            return Form("relation", "", (Form("value", form.sign), low), ">" if brackets[0] == "(" else ">=")
    return None


def _all_named(form: Form) -> bool:
    """Whether the entries of a list are named values."""
    return form.kind == "list" and all(part.kind in ("named", "relation") for part in form.parts)


def _equal_names(answer: Form, gold: Form, algebra: Algebra) -> bool | None:
    """Values by name: the same names must have the same values, in whatever order they are listed.

    Against values without names: those of one unknown (`x=1, x=-2`, `x_1=1, x_2=-2`) are a list, those of
    several a tuple in the order of the names.
    """
    names, gold_names = _names(answer), _names(gold)
    if names and gold_names:
        if len(set(names)) == len(names):
            if sorted(names) != sorted(gold_names):
                return False
            by_name = dict(zip(names, answer.parts, strict=True))
            given = [by_name[name] for name in gold_names]
            return _all(
                _equal(part.parts[0], target.parts[0], algebra)
                for part, target in zip(given, gold.parts, strict=True)
            )
        return _in_any_order(answer.parts, gold.parts, algebra)
    if not names and not gold_names:
        return _in_any_order(answer.parts, gold.parts, algebra) if answer.kind == gold.kind else False
    return _equal(_nameless(answer) if names else answer, _nameless(gold) if gold_names else gold, algebra)


def _names(form: Form) -> list[str]:
    return [part.sign for part in form.parts] if all(part.kind == "named" for part in form.parts) else []


def _nameless(form: Form) -> Form:
    if form.kind == "record":
        return Form("tuple", "", tuple(part.parts[0] for part in form.parts), form.sign)
    if len({part.sign.partition("_")[0] for part in form.parts}) == 1:
        return Form("list", "", tuple(part.parts[0] for part in form.parts))
    in_order = sorted(form.parts, key=lambda part: part.sign)
    return Form("tuple", "", tuple(part.parts[0] for part in in_order), "()")


def _equal_sets(answer: Form, gold: Form, algebra: Algebra) -> bool | None:
    r"""`\{1, 2\}`, and `1, 2`, which lists its elements; a tuple or interval is not a set of its entries."""
    parts, targets = (
        form.parts if form.kind in ("set", "list") else (form,) if form.kind == "value" else ()
        for form in (answer, gold)
    )
    if not parts or not targets:
        return False
    return _all(
        _any(_equal(part, target, algebra) for target in others)
        for some, others in ((parts, targets), (targets, parts))
        for part in some
    )


def _in_order(answer: Sequence[Form], gold: Sequence[Form], algebra: Algebra) -> bool | None:
    if len(answer) != len(gold):
        return False
    return _all(_equal(part, target, algebra) for part, target in zip(answer, gold, strict=True))


def _in_any_order(answer: Sequence[Form], gold: Sequence[Form], algebra: Algebra) -> bool | None:
    """Whether the entries can be paired; equality is transitive, so the first partner is as good as any."""
    if len(answer) != len(gold):
        return False
    left = list(answer)
    unknown = False
    for target in gold:
        found = [_equal(part, target, algebra) for part in left]
        if True in found:
            del left[found.index(True)]
        elif None in found:
            unknown = True
        else:
            return False
    return None if unknown else True


def _all(found: Iterable[bool | None]) -> bool | None:
    unknown = False
    for one in found:
        if one is False:
            return False
        unknown = unknown or one is None
    return None if unknown else True


def _any(found: Iterable[bool | None]) -> bool | None:
    unknown = False
    for one in found:
        if one:
            return True
        unknown = unknown or one is None
    return None if unknown else False
