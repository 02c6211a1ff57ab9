"""Registries: names, what is said of an unknown one, and modules that are imported when first asked."""

import importlib
import sys
from pathlib import Path

import pytest

from echochamber.base import InputError, Registry


def test_registry_suggests() -> None:
    registry: Registry[int] = Registry("size")
    registry.register("pico", 1)
    with pytest.raises(InputError, match="unknown size 'pcio': expected one of pico. Did you mean 'pico'"):
        registry.get("pcio")
    with pytest.raises(InputError, match="registered twice"):
        registry.register("pico", 2)


def test_registry_imports_its_own_modules_when_first_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "from room_of_names import NAMES; NAMES.register('{name}', type('A', (), {{}}))\n"
    (tmp_path / "room_of_names.py").write_text(
        "from echochamber.base import Registry\n"
        "NAMES = Registry('name', modules=('first_of_names', 'second_of_names'))\n"
    )
    (tmp_path / "first_of_names.py").write_text(line.format(name="first"))
    (tmp_path / "second_of_names.py").write_text(line.format(name="second"))
    monkeypatch.syspath_prepend(str(tmp_path))
    names = importlib.import_module("room_of_names").NAMES
    importlib.import_module("second_of_names")
    assert "first_of_names" not in sys.modules
    with pytest.raises(InputError, match="registered twice"):
        names.register("first", type("Mine", (), {}))
    names.register("mine", type("Mine", (), {}))
    assert list(names) == ["first", "second", "mine"]


def test_a_registry_of_objects_says_what_one_lacks() -> None:
    class Bell:
        def ring(self) -> None: ...

    registry: Registry[object] = Registry("bell", methods=("ring", "tune"))
    with pytest.raises(InputError, match="the bell 'b' of type Bell lacks tune;"):
        registry.register("b", Bell())
    with pytest.raises(InputError, match=r"the bell 'b' is a class; register an object of it, Bell\(...\)"):
        registry.register("b", Bell)
    assert "b" not in registry
