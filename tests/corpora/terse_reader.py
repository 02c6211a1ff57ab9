"""Solves terse questions from their words alone, as an independent check of what the stories say."""

from __future__ import annotations

import re
from fractions import Fraction

_N = r"\$?(\d+)"

# Sentence -> what it does to the amount x with the numbers a, b it states, read as English.
_SINGLE = [
    (rf"(?!He |She |It )\w+ (?:has|reads) {_N}(?: \w+)?", lambda x, a: a),
    (rf"A shop bakes {_N} \w+", lambda x, a: a),
    (rf"A bus has {_N} people", lambda x, a: a),
    (rf"\w+ has {_N} red and {_N} blue \w+", lambda x, a, b: a + b),
    (rf"\w+ has {_N} bags of {_N} \w+", lambda x, a, b: a * b),
    (rf"A bus has {_N} rows of {_N} people", lambda x, a, b: a * b),
    (rf"A shop bakes {_N} trays of {_N} \w+", lambda x, a, b: a * b),
    (rf"\w+ reads {_N} pages a day for {_N} days", lambda x, a, b: a * b),
    (rf"(?!He |She )\w+ works {_N} hours at {_N}", lambda x, a, b: a * b),
    (rf"(?:He|She) works {_N} hours at {_N}", lambda x, a, b: x + a * b),
    (rf"(?:He|She) reads {_N} a day for {_N} days", lambda x, a, b: x + a * b),
    (rf"(?:He|She) gets {_N} bags of {_N}", lambda x, a, b: x + a * b),
    (rf"It bakes {_N} trays of {_N}", lambda x, a, b: x + a * b),
    (rf"{_N} groups of {_N} get on", lambda x, a, b: x + a * b),
    (rf"{_N} groups of {_N} get off", lambda x, a, b: x - a * b),
    (rf"(?:He|She) gives {_N} friends {_N} each", lambda x, a, b: x - a * b),
    (rf"(?:He|She) buys {_N} cups at {_N}", lambda x, a, b: x - a * b),
    (rf"It sells {_N} boxes of {_N}", lambda x, a, b: x - a * b),
    (rf"(?:He|She) (?:gets|reads) {_N} more", lambda x, a: x + a),
    (rf"It bakes {_N} more", lambda x, a: x + a),
    (rf"(?:He|She) earns {_N}", lambda x, a: x + a),
    (rf"{_N} get on", lambda x, a: x + a),
    (rf"{_N} get off", lambda x, a: x - a),
    (rf"(?:He|She) (?:loses|pays) {_N}", lambda x, a: x - a),
    (rf"It sells {_N}", lambda x, a: x - a),
    (rf"{_N} were blank", lambda x, a: x - a),
    (rf"(?:He|She) makes it {_N} times as many", lambda x, a: x * a),
    (rf"(?:He|She) keeps one of {_N} equal parts", lambda x, a: x / a),
    (rf"{_N} friends share them equally", lambda x, a: x / a),
    (rf"(?:He|She) splits it {_N} ways", lambda x, a: x / a),
    (rf"They form {_N} equal teams", lambda x, a: x / a),
    (rf"It fills {_N} equal boxes", lambda x, a: x / a),
    (rf"That took {_N} days", lambda x, a: x / a),
]

_HOLDER = [
    (rf"has {_N} more", lambda own, other, a: other + a),
    (rf"has {_N} fewer", lambda own, other, a: other - a),
    (rf"has {_N} times as many", lambda own, other, a: other * a),
    (rf"has {_N}(?: \w+)?", lambda own, other, a: a),
    (rf"gets {_N} more", lambda own, other, a: own + a),
    (rf"loses {_N}", lambda own, other, a: own - a),
]


def solve(question: str, family: str) -> Fraction:
    """The answer to a terse question; fails on a sentence that it does not understand."""
    sentences = re.findall(r"[^.?]+", question)
    told, asked = [s.strip() for s in sentences[:-1]], sentences[-1].strip()
    return _solve_pair(told, asked) if family == "comparison" else _solve_single(told, asked)


def _solve_single(told: list[str], asked: str) -> Fraction:
    x = Fraction(0)
    for sentence in told:
        for pattern, meaning in _SINGLE:
            if found := re.fullmatch(pattern, sentence):
                x = Fraction(meaning(x, *map(Fraction, found.groups())))
                break
        else:
            raise AssertionError(f"cannot read {sentence!r}")
    assert re.match(r"How (many|much) ", asked), asked
    return x


def _solve_pair(told: list[str], asked: str) -> Fraction:
    held: dict[str, Fraction] = {}
    for sentence in told:
        name, _, rest = sentence.partition(" ")
        other = next((amount for holder, amount in held.items() if holder != name), Fraction(0))
        for pattern, meaning in _HOLDER:
            if found := re.fullmatch(pattern, rest):
                held[name] = meaning(held.get(name, Fraction(0)), other, Fraction(found.group(1)))
                break
        else:
            raise AssertionError(f"cannot read {sentence!r}")
    assert len(held) == 2
    if asked.endswith("together"):
        return sum(held.values(), Fraction(0))
    name = asked.split()[-1]
    if asked.startswith("How many more has"):
        return held[name] - sum(amount for holder, amount in held.items() if holder != name)
    assert re.fullmatch(r"How many \w+ has \w+", asked), asked
    return held[name]
