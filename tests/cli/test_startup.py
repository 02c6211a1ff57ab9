"""A command line is slow by what it imports; `echochamber bench startup` measures the seconds."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "numpy", "pandas", "pyarrow", "transformers", "matplotlib", "sympy")


@pytest.mark.parametrize(
    "code", ["import echochamber", "import echochamber.cli.main as m; m.run_cli(['--help'])"]
)
def test_nothing_heavy_is_imported_before_there_is_work(code: str) -> None:
    shown = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint('LOADED', *sys.modules)"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    loaded = set(shown.rpartition("LOADED")[2].split())
    assert "echochamber" in loaded
    assert loaded.isdisjoint(HEAVY)
