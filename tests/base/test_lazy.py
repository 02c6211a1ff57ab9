"""What is imported when: rooms export through stubs, and PyTorch comes at its first use."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import echochamber

ROOMS = sorted(path.parent.name for path in Path(echochamber.__path__[0]).glob("*/__init__.pyi"))


def _in_a_new_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_heavy_rooms_export_lazily() -> None:
    assert {"model", "train", "rollout", "rl", "study"} <= set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_every_export_is_there_and_is_no_module(room: str) -> None:
    package = importlib.import_module(f"echochamber.{room}")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    for name in package.__all__:
        assert type(getattr(package, name)) is not type(package), f"{name} of {room} is hidden by a module"


@pytest.mark.parametrize("room", ROOMS)
def test_a_stub_lists_what_it_imports(room: str) -> None:
    package = importlib.import_module(f"echochamber.{room}")
    tree = ast.parse(Path(package.__path__[0], "__init__.pyi").read_text())
    listed = [ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign)]
    assert [sorted(names) for names in listed] == [sorted(package.__all__)]
    assert package.__doc__


def test_a_room_imports_nothing_before_it_is_asked() -> None:
    code = "import sys\n" + "".join(f"import echochamber.{room}\n" for room in ROOMS)
    assert _in_a_new_process(code + "print('torch' in sys.modules, 'numpy' in sys.modules)") == "False False"


def test_torch_comes_with_the_first_of_its_names() -> None:
    code = (
        "import sys\nfrom echochamber.base.lazy import torch\nprint('torch' in sys.modules)\n"
        "print(torch.zeros(2).tolist(), 'torch' in sys.modules)"
    )
    assert _in_a_new_process(code).split("\n") == ["False", "[0.0, 0.0] True"]


def test_importing_the_package_does_not_import_torch() -> None:
    assert _in_a_new_process("import echochamber, sys; print('torch' in sys.modules)") == "False"
