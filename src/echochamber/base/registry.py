"""Named things that a study file refers to, ours and the user's own."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Generic, TypeVar

from echochamber.base.errors import InputError, did_you_mean

T = TypeVar("T")


class Registry(Generic[T]):
    """Maps names to values of one kind; unknown names are the user's error.

    Args:
        kind: what messages call an entry, e.g. `"format"`.
        modules: full names of the modules that register our own entries. They are imported when someone
            first looks anything up, so that importing the registry's own module imports none of them;
            their entries come first, in this order.
        methods: where every entry is an object, what it must be able to do.
    """

    def __init__(self, kind: str, modules: tuple[str, ...] = (), methods: tuple[str, ...] = ()) -> None:
        self.kind, self._methods = kind, methods
        self._modules, self._loaded = modules, False
        self._entries: dict[str, T] = {}

    def _load(self) -> dict[str, T]:
        if not self._loaded:
            self._loaded = True
            for module in self._modules:
                importlib.import_module(module)
            self._entries = dict(sorted(self._entries.items(), key=lambda entry: self._rank(entry[1])))
        return self._entries

    def _rank(self, value: T) -> int:
        module = getattr(value, "__module__", "")
        return self._modules.index(module) if module in self._modules else len(self._modules)

    def register(self, name: str, value: T) -> T:
        """Add an entry and return it.

        Raises:
            InputError: the name is taken by a different value, or the value lacks a method.
        """
        self._refuse_incomplete(name, value)
        if self._rank(value) == len(self._modules):
            self._load()  # Our own names are taken before anyone else's.
        if name in self._entries and self._entries[name] is not value:
            raise InputError(f"the {self.kind} '{name}' is registered twice; give one of them another name")
        self._entries[name] = value
        return value

    def _refuse_incomplete(self, name: str, value: T) -> None:
        if self._methods and isinstance(value, type):
            raise InputError(
                f"the {self.kind} '{name}' is a class; register an object of it, {value.__name__}(...)"
            )
        missing = [method for method in self._methods if not callable(getattr(value, method, None))]
        if missing:
            raise InputError(
                f"the {self.kind} '{name}' of type {type(value).__name__} lacks {', '.join(missing)}; "
                "docs/architecture.md says what to write"
            )

    def get(self, name: str) -> T:
        """The entry with that name.

        Raises:
            InputError: no such entry; the message lists what there is.
        """
        entries = self._load()
        if name not in entries:
            known = ", ".join(entries)
            raise InputError(
                f"unknown {self.kind} '{name}': expected one of {known}.{did_you_mean(name, entries)}"
            )
        return entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._load()

    def __iter__(self) -> Iterator[str]:
        return iter(self._load())

    def __len__(self) -> int:
        return len(self._load())
