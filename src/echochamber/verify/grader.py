"""From completions to verdicts: classify, extract, run what must be run, compare."""

from __future__ import annotations

import atexit
import contextlib
import gc
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

from echochamber.base import InputError, machine_cpus, storable
from echochamber.formats import Extracted, detected, format_names, get_format
from echochamber.formats.registry import AMBIGUOUS, NONE
from echochamber.verify.confined import ConfinedPool
from echochamber.verify.journal import Journal
from echochamber.verify.outcomes import Execution, ExecutionLimits, Outcome, Verdict
from echochamber.verify.pool import Pool
from echochamber.verify.processes import Shared
from echochamber.verify.programs import Prepared, prepare, single_function
from echochamber.verify.rules import Rules, get_rules

TIERS = (1, 2)
_FUNCTIONS = "tinygsm"
# What a length limit can do to a completion: cut it off before its answer or in the middle of its program.
_CUT_OFF = (Outcome.no_answer, Outcome.syntax_error)


@dataclass(frozen=True, slots=True)
class _Offer:
    """A program whose value is the answer, or an answer in text, which is only recorded beside a program."""

    program: Prepared | None
    answer: str | None


@dataclass(frozen=True, slots=True)
class _Reading:
    """One completion after reading: its label and what each format found in it offers, programs prepared.

    Attributes:
        assumed: taken for a program that has not been parsed yet.
    """

    label: str
    offers: tuple[_Offer, ...]
    assumed: bool = False


@lru_cache(maxsize=4096)
def _read(completion: str) -> _Reading:
    """Take the fast path for the usual kind of program and the careful one for everything else."""
    program = single_function(completion)
    if program is None or any(
        name != _FUNCTIONS and get_format(name).detect(completion) for name in format_names()
    ):
        return _read_with_care(completion)
    return _Reading(_FUNCTIONS, (_Offer(program, None),), assumed=True)


@lru_cache(maxsize=4096)
def _read_with_care(completion: str) -> _Reading:
    found = detected(completion)
    label = NONE if not found else found[0] if len(found) == 1 else AMBIGUOUS
    return _Reading(label, tuple(_offer(get_format(name).extract(completion)) for name in found))


def _offer(extracted: Extracted) -> _Offer:
    return _Offer(prepare(extracted.program) if extracted.program else None, extracted.answer)


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """Syntax trees are many objects without cycles: garbage collection would take a quarter of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class Grader(Shared):
    """Grades completions; owns the processes that run their programs. Threads may share one: they take turns.

    A verdict depends on the completion's text, the gold answer, the rules,
    the tiers and the limits; never on the batch it came in or on `workers`.

    Args:
        tiers: which sandboxes programs may use; a program that needs another one is `unsupported`.
        workers: processes that run programs, None for one per CPU, at most four.
        journal: file that stores the result of each program, see `Journal`.
        unsafe_unconfined: run tier 2 without confinement where it cannot be installed: generated code
            then has all rights of the user who runs it.
        reward_stated: for tagged code, reward the final boxed answer instead of the value of the code.

    Raises:
        InputError: an unknown tier, or one that this machine cannot confine.
    """

    def __init__(
        self,
        *,
        tiers: Sequence[int] = (1,),
        limits: ExecutionLimits = ExecutionLimits(),  # noqa: B008 - frozen
        workers: int | None = None,
        journal: Path | None = None,
        unsafe_unconfined: bool = False,
        reward_stated: bool = False,
    ) -> None:
        unknown = [tier for tier in tiers if tier not in TIERS]
        if unknown or not tiers:
            raise InputError(f"verify tiers {list(tiers)}: expected [1], [2] or [1, 2]")
        if workers is not None and workers < 1:
            raise InputError(f"{workers} grading workers: expected at least 1")
        super().__init__()
        self.tiers, self.limits = tuple(tiers), limits
        self.reward_stated = reward_stated
        self._journal = Journal(journal, limits)
        size = workers or min(4, len(machine_cpus()))
        self._interpreters = Pool(limits, size) if 1 in tiers else None
        self._confined = (
            ConfinedPool(limits, size, unsafe_unconfined=unsafe_unconfined) if 2 in tiers else None
        )

    def grade(
        self,
        completions: Sequence[str],
        golds: Sequence[str],
        *,
        rules: str = "gsm8k",
        truncated: Sequence[bool] | None = None,
    ) -> list[Verdict]:
        """Grade a batch, one verdict per completion, in order.

        Args:
            golds: correct answers, as many as completions.
            rules: how answers are compared: `gsm8k`, `math`, `aime` or a registered name.
            truncated: which completions were ended by the length limit; this renames the outcome of those
                that offer no answer for that reason, and changes nothing else.

        Raises:
            InputError: unknown rules, a gold answer they cannot read, something that is not text, or
                lengths that differ.
        """
        if len(completions) != len(golds) or (truncated is not None and len(truncated) != len(golds)):
            raise InputError(f"{len(completions)} completions for {len(golds)} gold answers: give one each")
        comparison = get_rules(rules)
        completions = _texts(completions, "completion")
        golds = _texts(golds, "gold answer")
        for gold in dict.fromkeys(golds):
            comparison.check_gold(gold)
        with self.turn:
            verdicts = self._verdicts(completions, golds, comparison)
        if truncated is None:
            return verdicts
        return [
            _relabeled(verdict) if cut else verdict for verdict, cut in zip(verdicts, truncated, strict=True)
        ]

    def _verdicts(self, completions: Sequence[str], golds: Sequence[str], rules: Rules) -> list[Verdict]:
        readings: list[_Reading] = []

        def found() -> Iterator[Prepared | None]:
            for completion in completions:
                readings.append(_read(completion))
                yield from (offer.program for offer in readings[-1].offers)

        with _collector_paused():
            executions = self._execute(found(), len(completions))
            executions |= self._execute(self._read_again(completions, readings, executions), 1)
        texts = _TextComparisons(rules)
        for reading, gold in zip(readings, golds, strict=True):
            for offer in reading.offers:
                texts.ask(offer, executions, gold)
        texts.answer()
        judge = _Judge(rules, executions, texts, self.reward_stated)
        return [judge.verdict(reading, gold) for reading, gold in zip(readings, golds, strict=True)]

    @staticmethod
    def _read_again(
        completions: Sequence[str], readings: list[_Reading], executions: dict[Prepared, Execution]
    ) -> list[Prepared | None]:
        """Read carefully what was taken for a program but cannot be parsed by the interpreter."""
        programs: list[Prepared | None] = []
        for index, reading in enumerate(readings):
            program = reading.offers[0].program if reading.assumed else None
            if program is not None and executions[program].status == "unsupported":
                readings[index] = _read_with_care(completions[index])
                programs += [offer.program for offer in readings[index].offers]
        return programs

    def run_prepared(self, programs: Sequence[Prepared]) -> dict[Prepared, str]:
        """Values of the programs that gave one, as text; for scoring by rules other than ours."""
        with self.turn:
            executions = self._execute(programs, len(programs))
        return {
            program: shown_value(execution)
            for program, execution in executions.items()
            if execution.status == "ok"
        }

    def _execute(self, programs: Iterable[Prepared | None], expected: int) -> dict[Prepared, Execution]:
        """Run every distinct program once; results that are already known are not measured again.

        Programs of the first tier run while the next ones are still being drawn.
        """
        executions: dict[Prepared, Execution] = {}
        missing: dict[int, list[tuple[Prepared, str]]] = {tier: [] for tier in self.tiers}

        def unknown() -> Iterator[str]:
            for program in programs:
                if program is None or program in executions:
                    continue
                tier = self._tier(program)
                if program.status or tier is None:
                    executions[program] = Execution(program.status or "unsupported")
                    continue
                key = self._journal.key(tier, program.source)
                known = self._journal.get(key)
                executions[program] = known or Execution("unsupported")
                if known is None:
                    missing[tier].append((program, key))
                    if tier == 1:
                        yield program.source

        drawn, results = unknown(), {}
        if self._interpreters is not None:
            results[1] = self._interpreters.run(drawn, expected)
        deque(drawn, maxlen=0)
        if self._confined is not None:
            results[2] = self._confined.run([program.source for program, _ in missing[2]])
        for tier, wanted in missing.items():
            found = dict(zip(wanted, results[tier], strict=True))
            self._journal.add({key: result for (_, key), result in found.items()})
            executions |= {program: result for (program, _), result in found.items()}
        return executions

    def _tier(self, program: Prepared) -> int | None:
        """The lowest allowed tier that can run a program."""
        allowed = [tier for tier in self.tiers if tier >= program.tier]
        return min(allowed) if allowed else None

    def close(self) -> None:
        """End the worker processes; the next program starts them again."""
        with self.turn:
            for pool in (self._interpreters, self._confined):
                if pool is not None:
                    pool.close()

    def __enter__(self) -> Grader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _texts(items: Sequence[str], what: str) -> list[str]:
    """The same texts in a form that UTF-8 can store, so that anything taken from them can be stored too."""
    for index, item in enumerate(items):
        if not isinstance(item, str):
            raise InputError(f"{what} {index} is {type(item).__name__}: expected text")
    return [storable(item) for item in items]


class _TextComparisons:
    """Comparisons of texts, collected so that the rules can answer all of them at once."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._asked: dict[tuple[str, str], bool] = {}

    def ask(self, offer: _Offer, executions: dict[Prepared, Execution], gold: str) -> None:
        """Note the comparisons that grading this offer will need."""
        if offer.answer is not None:
            self._asked[offer.answer, gold] = False
        if offer.program is not None:
            execution = executions[offer.program]
            if execution.status == "ok" and self._rules.value_equals(execution, gold) is None:
                self._asked[shown_value(execution), gold] = False

    def answer(self) -> None:
        """Make all comparisons noted so far."""
        pairs = list(self._asked)
        equal = self._rules.text_equals([answer for answer, _ in pairs], [gold for _, gold in pairs])
        self._asked = dict(zip(pairs, equal, strict=True))

    def equal(self, answer: str, gold: str) -> bool:
        """The result of one comparison."""
        return self._asked[answer, gold]


def shown_value(execution: Execution) -> str:
    """The result of a program as text: its value, or the last line it printed if it has none."""
    return execution.output if execution.kind == "none" else execution.value


@dataclass(frozen=True, slots=True)
class _Judge:
    """Turns readings into verdicts once programs have run and texts have been compared."""

    rules: Rules
    executions: dict[Prepared, Execution]
    texts: _TextComparisons
    reward_stated: bool

    def verdict(self, reading: _Reading, gold: str) -> Verdict:
        """The verdict on one completion; with several formats, all their answers must be correct."""
        if not reading.offers:
            return Verdict(reading.label, Outcome.no_answer, None, 0.0)
        graded = [self._grade(reading.label, offer, gold) for offer in reading.offers]
        return next((verdict for verdict in graded if verdict.outcome is not Outcome.correct), graded[0])

    def _grade(self, label: str, offer: _Offer, gold: str) -> Verdict:
        stated_correct = None if offer.answer is None else self.texts.equal(offer.answer, gold)
        if offer.program is None:
            return _judged(label, Outcome.no_answer, offer.answer, bool(stated_correct))
        execution = self.executions[offer.program]
        failure, value, correct = Outcome.no_answer, None, False
        if execution.status != "ok":
            failure = Outcome(execution.status)
        elif text := shown_value(execution):
            equal = self.rules.value_equals(execution, gold)
            value, correct = text, self.texts.equal(text, gold) if equal is None else equal
        beside = {
            "stated": offer.answer,
            "stated_correct": stated_correct,
            "computed": value,
            "computed_correct": correct,
        }
        if self.reward_stated and offer.program.is_tagged:
            return _judged(label, Outcome.no_answer, offer.answer, bool(stated_correct), **beside)
        return _judged(label, failure, value, correct, **beside)


def _judged(label: str, failure: Outcome, answer: str | None, correct: bool, **beside: Any) -> Verdict:
    """The verdict on an answer, or on its absence for the given reason."""
    if answer is None:
        return Verdict(label, failure, None, 0.0, **beside)
    return Verdict(label, Outcome.correct if correct else Outcome.wrong, answer, float(correct), **beside)


def _relabeled(verdict: Verdict) -> Verdict:
    if verdict.outcome not in _CUT_OFF:
        return verdict
    return replace(verdict, outcome=Outcome.truncated)


@lru_cache(maxsize=1)
def _shared() -> Grader:
    grader = Grader()
    atexit.register(grader.close)
    return grader


def grade(completion: str, gold: str, rules: str = "gsm8k") -> Verdict:
    """Grade one completion with tier 1; for many completions use a `Grader`.

    >>> grade("The answer is \\\\boxed{7}.", "7").reward
    1.0
    """
    return _shared().grade([completion], [gold], rules=rules)[0]
