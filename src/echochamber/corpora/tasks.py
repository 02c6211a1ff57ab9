"""Problem sets for evaluation and post-training, drawn so that no two share a problem."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from echochamber.base import (
    Config,
    InputError,
    Problem,
    Registry,
    Row,
    Variants,
    derive_seed,
    tag_of,
    write_file,
)
from echochamber.base.file_bytes import unreadable
from echochamber.corpora.identity import identities, text_key
from echochamber.corpora.sources import digest_files
from echochamber.verify import get_rules

# A plan is made whenever a study is inspected: files up to this size are read for it.
_MOST_BYTES_WHILE_PLANNING = 64 << 20


class ProblemSet(list[Problem]):
    """The problems of a task.

    Attributes:
        left_out: how many candidates were left out, by reason.
    """

    def __init__(self, problems: Iterable[Problem] = (), left_out: Mapping[str, int] | None = None) -> None:
        super().__init__(problems)
        self.left_out = dict(left_out or {})


class BaseTask(Config):
    """A set of problems.

    A new kind subclasses this, adds `kind: Literal["name"] = "name"` and its options, and registers with
    `register_task`.

    Attributes:
        num_problems: how many problems to take; all of them if unset.
    """

    generated: ClassVar[bool] = False
    """Whether the kind generates its problems, quickly and without reading anything."""

    num_problems: int | None = Field(default=None, ge=1)

    @abstractmethod
    def draw(self, *, seed: int, taken: frozenset[str]) -> Sequence[Problem]:
        """`num_problems` different problems, none of which has an identity in `taken`.

        A `ProblemSet` also says what was left out.

        Raises:
            InputError: fewer than `num_problems` are available, or a gold answer cannot be graded.
        """

    def inputs(self) -> tuple[Path, ...]:
        """Files that the problems come from."""
        return ()

    def rows(self) -> Iterator[tuple[str, Row]] | None:
        """Rows from which the problems are read, with their places; None for a kind without rows."""
        return None

    def question_texts(self, row: Row, place: str) -> tuple[str, ...]:
        """The texts that make up the identity of a row's problem: the question first, no gold answer.

        Raises:
            InputError: a field is missing.
        """
        raise TypeError(f"{type(self).__name__} does not say which texts of a row make its question")

    def gold(self, row: Row, place: str) -> str:
        """The gold answer of a row.

        Raises:
            InputError: it is missing, or no completion could equal it; with file and row.
        """
        raise TypeError(f"{type(self).__name__} does not say where a row has its gold answer")

    def planned_bytes(self) -> int | None:
        """Bytes to read for all rows; None if a connection may be needed.

        Raises:
            InputError: a file is missing.
        """
        try:
            return sum(path.stat().st_size for path in self.inputs())
        except OSError as error:
            raise unreadable(Path(error.filename), error.strerror or str(error)) from error

    def examine(self) -> str | None:
        """Check the gold answers before any work, and digest what the questions come from, without golds.

        Returns:
            The digest, which a corrected gold answer does not change; None if it is known only once a run
            reads the problems: the file is large or elsewhere, or the kind does its own reading.

        Raises:
            InputError: a row is broken, or a gold answer cannot be graded; with file and row.
        """
        size = self.planned_bytes()
        rows = self.rows() if size is not None and size <= _MOST_BYTES_WHILE_PLANNING else None
        if rows is None:
            return None
        state, questions = hashlib.sha256(), set[str]()
        for place, row in rows:
            texts = self.question_texts(row, place)
            state.update(json.dumps(texts).encode())
            if self.num_problems is None or len(questions) < self.num_problems:
                # Rows that are not used may contain anything.
                self.gold(row, place)
                questions.add(texts[0])
        return state.hexdigest()

    def local_files(self) -> tuple[Path, ...]:
        """Files on this machine that hold the data; none if it is elsewhere."""
        return self.inputs()

    def fingerprint(self) -> dict[str, str]:
        """What identifies the data behind the config: SHA-256 by name of every file.

        Raises:
            InputError: a file cannot be read.
        """
        return digest_files(self.inputs())


TASKS: Registry[type[BaseTask]] = Registry(
    "task kind",
    modules=(
        "echochamber.corpora.local_files",
        "echochamber.corpora.gsm8k_corpus",
        "echochamber.corpora.hub",
        "echochamber.corpora.word_problems",
    ),
)
TaskConfig = Annotated[BaseTask, Variants(TASKS, "kind")]


def register_task(cls: type[BaseTask]) -> type[BaseTask]:
    """Class decorator: make a task available under the default of its `kind` field.

    Raises:
        InputError: the kind is taken, or the class does not say its `kind` or how to `draw`.
    """
    TASKS.register(tag_of(cls, BaseTask, "kind", "task kind"), cls)
    return cls


class References(Mapping[str, str]):
    """Correct solutions of a problem by format, rendered when first requested.

    Args:
        render: returns them.
    """

    def __init__(self, render: Callable[[], Mapping[str, str]]) -> None:
        self._render = render

    @cached_property
    def _solutions(self) -> Mapping[str, str]:
        return self._render()

    def __getitem__(self, name: str) -> str:
        return self._solutions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._solutions)

    def __len__(self) -> int:
        return len(self._solutions)


def check_gold(rules: str, gold: str, place: str) -> None:
    """Refuse a gold answer that no completion could equal.

    Raises:
        InputError: the gold answer is refused, with the place of the row, or the rules are unknown.
    """
    comparison = get_rules(rules)
    try:
        comparison.check_gold(gold)
    except InputError as error:
        raise InputError(f"{place}: {error}") from error


def reserve_problems(tasks: Mapping[str, BaseTask], *, seed: int) -> dict[str, ProblemSet]:
    """Draw every task's problems, in the mapping's order; no two tasks share one, by text or by structure.

    Evaluation tasks come first: one-operation problems are few, and a later task that lacks some is a smaller
    loss than a test problem seen in training.

    Raises:
        InputError: a task asks for more problems than are left for it, with the numbers; or a gold answer
            cannot be graded, with its file and row or its key.
    """
    taken: set[str] = set()
    reserved: dict[str, ProblemSet] = {}
    for name, task in tasks.items():
        try:
            drawn = task.draw(seed=derive_seed(seed, f"task:{name}"), taken=frozenset(taken))
            for problem in drawn:
                check_gold(problem.rules, problem.gold, f"problem '{problem.key}'")
        except InputError as error:
            raise InputError(f"task '{name}': {error}") from error
        reserved[name] = drawn if isinstance(drawn, ProblemSet) else ProblemSet(drawn)
        taken.update(key for problem in drawn for key in identities(problem))
    return reserved


SAME_QUESTION = "question already in this set"
EARLIER_QUESTION = "question of an earlier task"
EARLIER_STRUCTURE = "operations and numbers of a problem of an earlier task"


def take_problems(
    candidates: Iterator[Problem], num_problems: int | None, taken: frozenset[str]
) -> ProblemSet:
    """The first `num_problems` candidates whose question is new, and whose structure no earlier task has.

    Within a set a structure may occur twice: a published benchmark keeps its problems.

    Raises:
        InputError: there are fewer.
    """
    texts: set[str] = set()
    problems: list[Problem] = []
    left_out: Counter[str] = Counter()
    for problem in candidates:
        if num_problems is not None and len(problems) == num_problems:
            break
        text = text_key(problem.question)
        if text in texts:
            left_out[SAME_QUESTION] += 1
        elif text in taken:
            left_out[EARLIER_QUESTION] += 1
        elif problem.structure and problem.structure in taken:
            left_out[EARLIER_STRUCTURE] += 1
        else:
            texts.add(text)
            problems.append(problem)
    left = "".join(f"; {count} left out: {reason}" for reason, count in left_out.items())
    if num_problems is not None and len(problems) < num_problems:
        raise InputError(
            f"asks for {num_problems} problems, but its {len(problems) + left_out.total()} rows hold only "
            f"{len(problems)} that are new{left}; lower num_problems"
        )
    if not problems:
        raise InputError(f"holds no problem that is new{left}; point it at other rows")
    return ProblemSet(problems, left_out)


def write_problems(path: Path, problems: Sequence[Problem]) -> None:
    """Write problems as JSON lines, atomically.

    Raises:
        EchoError: the disk refused.
    """
    plain = (asdict(replace(problem, references=dict(problem.references))) for problem in problems)
    write_file(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in plain))


def read_problems(path: Path) -> list[Problem]:
    """Read what `write_problems` wrote.

    Raises:
        InputError: missing file, broken line or missing field, with file and line.
    """
    problems = []
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise unreadable(path, error.strerror or str(error)) from error
    for number, line in enumerate(lines, 1):
        try:
            problems.append(Problem(**json.loads(line)))
        except (ValueError, TypeError) as error:
            raise InputError(f"{path}:{number}: not a problem of ours: {error}") from error
    return problems
