"""Named things that a study file refers to, ours and the user's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from echochamber.base.errors import InputError, did_you_mean

T = TypeVar("T")


class Registry(Generic[T]):
    """Maps names to values of one kind; unknown names are the user's error.

    Args:
        kind: what an entry is called in messages, e.g. `"format"`.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str, value: T) -> T:
        """Add an entry and return it.

        Raises:
            InputError: the name is taken by a different value.
        """
        if name in self._entries and self._entries[name] is not value:
            raise InputError(f"the {self.kind} '{name}' is registered twice; give one of them another name")
        self._entries[name] = value
        return value

    def get(self, name: str) -> T:
        """The entry of that name.

        Raises:
            InputError: no such entry; the message lists what there is.
        """
        if name not in self._entries:
            known = ", ".join(self._entries)
            raise InputError(
                f"unknown {self.kind} '{name}': expected one of {known}.{did_you_mean(name, self._entries)}"
            )
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
