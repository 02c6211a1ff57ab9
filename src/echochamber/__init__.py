"""echochamber: what RL post-training does to the behaviors that pretraining put there.

`echochamber.run("studies/demo.yaml")` runs a study and returns its tables,
`echochamber.load("runs/demo")` opens a finished one, or several side by side;
the rooms (`echochamber.formats`, `echochamber.rl`, ...) hold the parts. To
extend a study without touching the package, name a Python file under
`modules:` in it and call `register_algorithm`, `register_claim`,
`register_figure`, `register_format`, `register_reward`, `register_rules`,
`register_section`, `register_source`, `register_task` or `register_tracker`
there. docs/architecture.md says where to add what.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
