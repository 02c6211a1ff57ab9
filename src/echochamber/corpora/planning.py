"""What can be checked about problem sets and sources while a study is planned; writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import chain
from typing import TypeVar

from echochamber.base import InputError
from echochamber.corpora.identity import Reserved
from echochamber.corpora.sources import BaseSource
from echochamber.corpora.tasks import BaseTask, reserve_problems

T = TypeVar("T")


class _Identified:
    """A config as a cache key; equal if the config and its data are."""

    def __init__(self, value: object, *identity: object) -> None:
        self.value, self.identity = value, identity

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identified) and self.identity == other.identity

    def __hash__(self) -> int:
        return hash(self.identity)


def examine_task(name: str, task: BaseTask) -> str | None:
    """`BaseTask.examine`, once for each content of its files.

    Raises:
        InputError: a row is broken, or a gold answer cannot be graded; with task, file and row.
    """
    files = tuple(sorted(task.fingerprint().items()))
    return _named(name, lambda: _examine(_Identified(task, repr(task), files)))


@lru_cache(maxsize=64)
def _examine(task: _Identified) -> str | None:
    assert isinstance(task.value, BaseTask)
    return task.value.examine()


def _named(name: str, work: Callable[[], T]) -> T:
    try:
        return work()
    except InputError as error:
        raise InputError(f"task '{name}': {error}") from error


def check_grammars(
    tasks: Mapping[str, BaseTask],
    sources: Mapping[str, BaseSource],
    *,
    benchmarks: tuple[str, ...],
    seed: int,
) -> None:
    """Refuse generated problem sets larger than their grammar, and sources that they use up.

    What file-based problem sets reserve is not known yet; it is subtracted when the problems are drawn.

    Args:
        tasks: in the order in which they are drawn.
        sources: the sources of mixtures by name, and those of arms by their key in the study.

    Raises:
        InputError: states how many structures exist, are reserved and are left.
    """
    generated = {name: task for name, task in tasks.items() if task.generated}
    reserved = _reserved(_Identified(generated, repr(generated), benchmarks, seed))
    for name, source in sources.items():
        try:
            source.check_left(source.excluded(reserved))
        except InputError as error:
            raise InputError(f"the source '{name}': {error}") from error


@lru_cache(maxsize=16)
def _reserved(tasks: _Identified) -> Reserved:
    _, benchmarks, seed = tasks.identity
    assert isinstance(tasks.value, dict) and isinstance(benchmarks, tuple) and isinstance(seed, int)
    drawn = reserve_problems(tasks.value, seed=seed)
    return Reserved.of(
        chain(*(problems for name, problems in drawn.items() if name in benchmarks)),
        chain(*(problems for name, problems in drawn.items() if name not in benchmarks)),
    )
