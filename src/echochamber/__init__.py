"""echochamber: what RL post-training does to the behaviors that pretraining put there.

`echochamber.run("studies/demo.yaml")` runs a study and returns its tables,
`echochamber.load("runs/demo")` opens a finished one, or several side by side;
the rooms (`echochamber.formats`, `echochamber.rl`, ...) hold the parts. To
extend a study without touching the package, name a Python file under
`modules:` in it and call `register_format`, `register_reward`,
`register_source`, `register_task` or `register_algorithm` there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Name -> room: resolved on first use, so that importing the package stays fast.
_LAZY = {
    "Result": "study",
    "Results": "study",
    "load": "study",
    "run": "study.results",
    "grade": "verify",
    "classify": "formats",
    "register_format": "formats",
    "register_source": "corpora",
    "register_task": "corpora",
    "register_algorithm": "rl",
    "register_reward": "rl",
}

__all__ = [
    "Result",
    "Results",
    "__version__",
    "classify",
    "grade",
    "load",
    "register_algorithm",
    "register_format",
    "register_reward",
    "register_source",
    "register_task",
    "run",
]

if TYPE_CHECKING:
    from echochamber.corpora import register_source, register_task
    from echochamber.formats import classify, register_format
    from echochamber.rl import register_algorithm, register_reward
    from echochamber.study import Result, Results, load
    from echochamber.study.results import run
    from echochamber.verify import grade


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'echochamber' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(f"echochamber.{_LAZY[name]}"), name)
