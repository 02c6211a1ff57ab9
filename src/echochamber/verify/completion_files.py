"""Grading a file of completions: rows in (see `base.data_files`), one line of JSON out per row."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from echochamber.base import (
    InputError,
    Row,
    RunLock,
    explained_write,
    fsync_folder,
    open_alone,
    read_rows,
    text_field,
)
from echochamber.formats import ALL_LABELS
from echochamber.verify.grader import Grader
from echochamber.verify.outcomes import Outcome, Verdict

_CHUNK = 2048


@dataclass(frozen=True, slots=True)
class GradeSummary:
    """Totals of a graded file.

    Attributes:
        total: number of rows.
        counts: rows by format, every label present.
        share: the same as fractions that sum to 1 (all 0 for an empty file).
        accuracy: mean reward by format, None where no row has that format.
        outcomes: rows by outcome.
        mean_reward: over all rows, 0 for an empty file.
        stated: rows with code whose text states an answer as well.
        disagreements: of these, rows where code and text differ in being right.
    """

    total: int
    counts: dict[str, int]
    share: dict[str, float]
    accuracy: dict[str, float | None]
    outcomes: dict[str, int]
    mean_reward: float
    stated: int = 0
    disagreements: int = 0


def grade_file(
    path: Path,
    *,
    completion: str,
    gold: str,
    rules: str = "gsm8k",
    out: Path | None = None,
    tiers: Sequence[int] = (1,),
    workers: int | None = None,
    reward_stated: bool = False,
    unsafe_unconfined: bool = False,
) -> GradeSummary:
    """Grade every row of a file.

    Args:
        path: JSON Lines, JSON, CSV or Parquet, as its name says; see `base.data_files`.
        completion, gold: keys of the two fields.
        rules: how answers are compared: `gsm8k`, `math`, `aime` or a registered name.
        out: written atomically, one JSON object per row in order: `format`, `outcome`, `answer`, `reward`
            and, for code with an answer stated in the text, both answers and whether each is right.
        reward_stated: for tagged code, reward the stated answer instead of the value of the code.

    Raises:
        InputError: the file, a line of it, a field or the output path cannot be used; nothing is written.
    """
    if out is not None and out.exists() and path.exists() and out.samefile(path):
        raise InputError(f"cannot write {out}: it is the file to be graded; give another path")
    totals = _Totals()
    with (
        _writer(out) as write,
        Grader(
            tiers=tiers, workers=workers, reward_stated=reward_stated, unsafe_unconfined=unsafe_unconfined
        ) as grader,
    ):
        for places, completions, golds in _chunks(path, completion, gold):
            verdicts = _graded(grader, places, completions, golds, rules)
            totals.add(verdicts)
            write(verdicts)
    return totals.summary()


@contextmanager
def _writer(out: Path | None) -> Iterator[Callable[[Sequence[Verdict]], None]]:
    """A writer of verdicts to `out`, which appears once all are written; other processes are refused."""
    if out is None:
        yield lambda verdicts: None
        return
    if out.is_dir():
        raise InputError(f"cannot write {out}: it is a folder; give the path of a file")
    if out.exists() and not out.is_file():
        raise InputError(f"cannot write {out}: it is not a regular file; give another path")
    temporary = out.with_name(out.name + ".tmp")
    with RunLock(out.with_name(out.name + ".lock"), what=str(out)):
        try:
            with explained_write(out):
                stream = open_alone(temporary)
            with stream:

                def write(verdicts: Sequence[Verdict]) -> None:
                    with explained_write(out):
                        stream.writelines(_line(verdict).encode() for verdict in verdicts)

                yield write
                with explained_write(out):
                    stream.flush()
                    os.fsync(stream.fileno())
                    temporary.replace(out)
                    fsync_folder(out.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _graded(
    grader: Grader, places: Sequence[str], completions: Sequence[str], golds: Sequence[str], rules: str
) -> list[Verdict]:
    try:
        return grader.grade(completions, golds, rules=rules)
    except InputError:
        # Find the row that caused it, so that the message can name its line.
        from echochamber.verify.rules import get_rules

        comparison = get_rules(rules)
        for place, gold in zip(places, golds, strict=True):
            try:
                comparison.check_gold(gold)
            except InputError as error:
                raise InputError(f"{place}: {error}") from error
        raise


def _line(verdict: Verdict) -> str:
    row: dict[str, Any] = {
        "format": verdict.format,
        "outcome": verdict.outcome.value,
        "answer": verdict.answer,
        "reward": verdict.reward,
    }
    if verdict.stated is not None:
        row |= {"stated": verdict.stated, "stated_correct": verdict.stated_correct}
        row |= {"computed": verdict.computed, "computed_correct": verdict.computed_correct}
    return json.dumps(row, ensure_ascii=False) + "\n"


Chunk = tuple[list[str], list[str], list[str]]


def _chunks(path: Path, completion: str, gold: str) -> Iterator[Chunk]:
    """(places, completions, golds) of a file, a batch of rows at a time."""
    rows = read_rows(path, (completion, gold))
    while batch := list(islice(rows, _CHUNK)):
        yield (
            [place for place, _ in batch],
            [_written(row, completion, place) for place, row in batch],
            [text_field(row, gold, place) for place, row in batch],
        )


def _written(row: Row, field: str, place: str) -> str:
    """A completion unchanged: a model's text is graded whatever it contains, even half a surrogate pair."""
    value = row.get(field)
    return value if isinstance(value, str) else text_field(row, field, place)


class _Totals:
    def __init__(self) -> None:
        self.formats: Counter[str] = Counter()
        self.paid: Counter[str] = Counter()
        self.outcomes: Counter[Outcome] = Counter()
        self.stated = self.disagreements = 0

    def add(self, verdicts: Sequence[Verdict]) -> None:
        for verdict in verdicts:
            self.formats[verdict.format] += 1
            self.paid[verdict.format] += verdict.reward == 1.0
            self.outcomes[verdict.outcome] += 1
            if verdict.stated is not None:
                self.stated += 1
                self.disagreements += verdict.stated_correct != verdict.computed_correct

    def summary(self) -> GradeSummary:
        total = self.formats.total()
        labels = ALL_LABELS()
        return GradeSummary(
            total=total,
            counts={label: self.formats[label] for label in labels},
            share={label: self.formats[label] / total if total else 0.0 for label in labels},
            accuracy={
                label: self.paid[label] / self.formats[label] if self.formats[label] else None
                for label in labels
            },
            outcomes={outcome.value: self.outcomes[outcome] for outcome in Outcome},
            mean_reward=self.paid.total() / total if total else 0.0,
            stated=self.stated,
            disagreements=self.disagreements,
        )
