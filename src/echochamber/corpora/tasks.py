"""Problem sets for evaluation and post-training, reserved so that no two share a problem."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from pydantic import Field

from echochamber.base import Config, InputError, Problem, Registry, Variants, derive_seed, write_file
from echochamber.base.reading import unreadable
from echochamber.corpora.sources import digest_files


class BaseTask(Config):
    """A set of problems.

    A kind of one's own subclasses this, adds `kind: Literal["name"] = "name"`
    and its options, and registers with `register_task`.

    Attributes:
        num_problems: how many problems are taken; all that there are if unset.
    """

    num_problems: int | None = Field(default=None, ge=1)

    def draw(self, *, seed: int, taken: frozenset[str]) -> list[Problem]:
        """`num_problems` problems with different keys, none of them in `taken`.

        Raises:
            InputError: fewer than `num_problems` can be had.
        """
        raise TypeError(f"{type(self).__name__} does not say how to draw its problems")

    def inputs(self) -> tuple[Path, ...]:
        """Files that the problems come from."""
        return ()

    def fingerprint(self) -> dict[str, str]:
        """What identifies the data behind the config: SHA-256 by name of every file.

        Raises:
            InputError: a file cannot be read.
        """
        return digest_files(self.inputs())


TASKS: Registry[type[BaseTask]] = Registry("task kind")
TaskConfig = Annotated[BaseTask, Variants(TASKS, "kind")]


def register_task(cls: type[BaseTask]) -> type[BaseTask]:
    """Class decorator: make a task available under the default of its `kind` field.

    Raises:
        InputError: the kind is taken.
    """
    TASKS.register(str(cls.model_fields["kind"].default), cls)
    return cls


def reserve_problems(tasks: Mapping[str, BaseTask], *, seed: int) -> dict[str, list[Problem]]:
    """Draw every task's problems, in the mapping's order; no key is drawn twice.

    Evaluation tasks stand first: one-operation problems are few, and what a
    later task lacks is a smaller loss than a test problem seen in training.

    Raises:
        InputError: a task asks for more problems than are left for it; the message has the numbers.
    """
    taken: set[str] = set()
    reserved: dict[str, list[Problem]] = {}
    for name, task in tasks.items():
        try:
            problems = task.draw(seed=derive_seed(seed, f"task:{name}"), taken=frozenset(taken))
        except InputError as error:
            raise InputError(f"task '{name}': {error}") from error
        reserved[name] = problems
        taken.update(problem.key for problem in problems)
    return reserved


def take_problems(
    candidates: Iterator[Problem], num_problems: int | None, taken: frozenset[str]
) -> list[Problem]:
    """The first `num_problems` candidates whose keys are new.

    Raises:
        InputError: there are fewer.
    """
    seen = set(taken)
    problems: list[Problem] = []
    met = 0
    for problem in candidates:
        if num_problems is not None and len(problems) == num_problems:
            break
        met += 1
        if problem.key not in seen:
            seen.add(problem.key)
            problems.append(problem)
    if num_problems is not None and len(problems) < num_problems:
        raise InputError(
            f"asks for {num_problems} problems, but its {met} rows hold only {len(problems)} different ones "
            "that no earlier task has; lower num_problems"
        )
    if not problems:
        raise InputError("holds no problem that an earlier task does not have; point it at other rows")
    return problems


def write_problems(path: Path, problems: Sequence[Problem]) -> None:
    """Write problems as JSON lines, atomically.

    Raises:
        EchoError: the disk refused.
    """
    lines = [json.dumps(asdict(problem), ensure_ascii=False) + "\n" for problem in problems]
    write_file(path, "".join(lines))


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
