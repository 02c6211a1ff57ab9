"""Grading: numeric answers against math-verify; programs of both tiers per second."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from typing import Any

from pydantic import TypeAdapter

from echochamber.base import InputError
from echochamber.bench.measure import (
    Row,
    Settings,
    alone,
    comparison,
    describe_machine,
    in_turns,
    peer_library,
    target,
    timed,
)
from echochamber.corpora import TaskConfig, reserve_problems
from echochamber.verify import Grader, get_rules

NUM_ANSWERS, NUM_PROGRAMS, NUM_SYMPY = 512, 4096, 128


def bench_verify(settings: Settings) -> dict[str, Any]:
    """Seconds to grade numeric answers in prose, against math-verify, and programs, which no peer runs.

    Every repetition grades new texts, so no verdict comes from a cache.
    There is no floor: neither arithmetic nor copying bounds this work.
    """
    rows = [*_numeric(settings), _programs(settings), *_sympy(settings)]
    return {"name": "verify", **rows[0], "machine": describe_machine(settings.machine), "rows": rows}


def _count(wanted: int, settings: Settings) -> int:
    return 8 if settings.quick else wanted


def _solved(count: int, format_name: str) -> list[tuple[str, str]]:
    """Generated solutions of one format with their gold answers, all different."""
    kind = {"kind": "word_problems", "num_problems": count, "largest": 99, "largest_result": 10_000}
    adapter: TypeAdapter[dict[str, TaskConfig]] = TypeAdapter(dict[str, TaskConfig])
    drawn = reserve_problems(adapter.validate_python({"solved": kind}), seed=1)["solved"]
    return [(problem.references[format_name], problem.gold) for problem in drawn]


def _numeric(settings: Settings) -> list[Row]:
    """Two rows: answers that are already extracted, and whole completions.

    Our grader first reads a completion's format and extracts the answer; math-verify searches the text for
    one.
    """
    count = _count(NUM_ANSWERS, settings)
    solved = _solved(count * (settings.repeats + 1), "boxed")
    rules = get_rules("gsm8k")
    math_verify = peer_library("math_verify")
    answers = [(gold, gold) for _, gold in solved]

    def part(pairs: list[tuple[str, str]], repeat: int) -> tuple[list[str], list[str]]:
        chosen = pairs[repeat * count : (repeat + 1) * count]
        return [answer for answer, _ in chosen], [gold for _, gold in chosen]

    def compare(repeat: int) -> None:
        assert all(rules.text_equals(*part(answers, repeat)))

    def peer_of(pairs: list[tuple[str, str]], form: str) -> Callable[[int], object]:
        def peer(repeat: int) -> None:
            for answer, gold in zip(*part(pairs, repeat), strict=True):
                gold_parsed = math_verify.parse(f"${gold}$")
                assert math_verify.verify(gold_parsed, math_verify.parse(form.format(answer)))

        return peer

    with Grader() as grader:

        def grade(repeat: int) -> None:
            assert all(verdict.reward for verdict in grader.grade(*part(solved, repeat)))

        cases = [
            ("numeric answers", compare, peer_of(answers, "${}$")),
            ("whole completions with a numeric answer", grade, peer_of(solved, "{}")),
        ]
        return [_beside(f"{count} {what}", count, ours, peer, settings) for what, ours, peer in cases]


def _beside(
    case: str, count: int, ours: Callable[[int], object], peer: Callable[[int], object], settings: Settings
) -> Row:
    seconds = in_turns(ours, peer, settings, f"verify {case}")
    row = comparison(*seconds, peer="math-verify", version=importlib.metadata.version("math-verify"))
    return {
        "case": case,
        "targets": [target(row["ratio"], "times math-verify's speed", at_least=100.0)],
        "per_second": count / row["ours"]["median_seconds"],
        **row,
    }


def _programs(settings: Settings) -> Row:
    count = _count(NUM_PROGRAMS, settings)
    solved = _solved(count * (settings.repeats + 1), "tinygsm")
    with Grader() as grader:

        def ours(repeat: int) -> None:
            completions, golds = zip(*solved[repeat * count : (repeat + 1) * count], strict=True)
            assert all(verdict.reward for verdict in grader.grade(completions, golds))

        seconds = timed(ours, settings, "verify TinyGSM programs")
    row = alone(seconds, why="no released peer runs generated programs confined")
    rate = count / row["ours"]["median_seconds"]
    return {
        "case": f"{count} TinyGSM programs",
        "targets": [target(rate, "TinyGSM programs graded per second", at_least=5000.0)],
        "per_second": rate,
        **row,
    }


def _sympy(settings: Settings) -> list[Row]:
    """Programs that need CPython and sympy; no row where this machine cannot confine them."""
    count = _count(NUM_SYMPY, settings)
    try:
        grader = Grader(tiers=(1, 2))
    except InputError:
        return []
    with grader:

        def ours(repeat: int) -> None:
            texts = [_sympy_completion(repeat * count + i) for i in range(count)]
            verdicts = grader.grade(texts, [str(repeat * count + i + 3) for i in range(count)])
            assert all(verdict.reward for verdict in verdicts)

        seconds = timed(ours, settings, "verify sympy programs")
    row = alone(seconds, why="no released peer runs generated programs confined")
    rate = count / row["ours"]["median_seconds"]
    return [
        {
            "case": f"{count} sympy programs",
            "targets": [target(rate, "sympy programs graded per second", at_least=100.0)],
            "per_second": rate,
            **row,
        }
    ]


def _sympy_completion(number: int) -> str:
    return (
        "<llm-code>\nimport sympy\nx = sympy.symbols('x')\n"
        f"print(sympy.solve(x - {number} - 3, x)[0])\n</llm-code>\n"
    )
