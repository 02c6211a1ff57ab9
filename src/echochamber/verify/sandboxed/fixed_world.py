"""A clock and random numbers that are the same for every program: its value is a function of its text.

The interpreter of tier 1 fixes both as well. This is not a safeguard: a program that looks for the real clock
finds it (`numpy.datetime64('now')`) but gains nothing.
"""

from __future__ import annotations

import datetime as dates
import os
import random
import time
from collections.abc import Callable
from typing import Any

_START_SECONDS = 1_704_067_200  # The first of January 2024, as in tier 1.
_TICK_NANOSECONDS = 1_000_000

_RealDatetime = dates.datetime
_real_sleep = time.sleep


class _Clock:
    """Time that passes whenever it is read and while a program sleeps."""

    def __init__(self) -> None:
        self.passed = 0

    def nanoseconds(self) -> int:
        self.passed += _TICK_NANOSECONDS
        return self.passed

    def seconds(self) -> float:
        return self.nanoseconds() / 1e9

    def date_nanoseconds(self) -> int:
        return _START_SECONDS * 10**9 + self.nanoseconds()

    def date_seconds(self) -> float:
        return _START_SECONDS + self.seconds()

    def sleep(self, seconds: Any, /) -> None:
        _real_sleep(seconds)
        self.passed += int(seconds * 1e9)


class _DatetimeType(type):
    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, _RealDatetime)


class _Datetime(_RealDatetime, metaclass=_DatetimeType):
    @classmethod
    def now(cls, tz: dates.tzinfo | None = None) -> Any:
        return cls.fromtimestamp(time.time(), tz)

    @classmethod
    def today(cls) -> Any:
        return cls.now()

    @classmethod
    def utcnow(cls) -> Any:
        return cls.now(dates.UTC).replace(tzinfo=None)

    def __repr__(self) -> str:
        return f"datetime.{super().__repr__()}"


_Datetime.__name__ = _Datetime.__qualname__ = "datetime"
_Datetime.__module__ = "datetime"


def fix() -> None:
    """Fix clock and random numbers in this process."""
    clock, source = _Clock(), random.Random(0)
    time.time, time.time_ns = clock.date_seconds, clock.date_nanoseconds
    time.sleep = clock.sleep
    for name in ("monotonic", "perf_counter", "process_time", "thread_time"):
        setattr(time, name, clock.seconds)
        setattr(time, f"{name}_ns", clock.nanoseconds)
    for name in ("gmtime", "localtime", "ctime"):
        setattr(time, name, _of_now(getattr(time, name)))
    dates.datetime = _Datetime  # type: ignore[misc]

    def entropy(size: int, flags: int = 0, /) -> bytes:
        return source.randbytes(size)

    # The source of `secrets`, `random.SystemRandom`, `uuid` and numpy's unseeded generators.
    os.urandom = os.getrandom = random._urandom = entropy  # type: ignore[attr-defined,assignment]
    seed = random.Random.seed

    def seeded(self: random.Random, a: Any = None, version: int = 2) -> None:
        seed(self, 0 if a is None else a, version)

    random.Random.seed = seeded  # type: ignore[method-assign]
    random.seed = random._inst.seed
    random.seed(0)


def _of_now(convert: Callable[[float], Any]) -> Callable[..., Any]:
    """A function of a time that uses the fixed clock's time if none is given."""

    def converted(seconds: float | None = None, /) -> Any:
        return convert(time.time() if seconds is None else seconds)

    return converted
