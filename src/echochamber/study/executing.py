"""Making one stage, in whichever process that happens."""

from __future__ import annotations

import time

from echochamber.base import InputError, RunLock
from echochamber.study.clocks import read_seconds, write_seconds
from echochamber.study.modules import import_modules
from echochamber.study.ranks import together
from echochamber.study.stages import STAGES, StageContext
from echochamber.study.store import Stage, Store
from echochamber.train import give_way_when_busy


def execute_stage(stage: Stage, store: Store, *, wait: bool = False) -> float:
    """Make one stage in this process and return the compute seconds it took, over all its runs.

    Args:
        wait: wait for another process that is making the same stage instead of refusing.

    Raises:
        InputError: the stage found the user's input unusable; it leaves nothing unless it had got somewhere.
    """
    with RunLock(store.lock(stage), what=f"'{stage.title}'", wait=wait):
        if store.state(stage) == "done":
            return read_seconds(store.path(stage)) or 0.0
        return _make(stage, store)


def _make(stage: Stage, store: Store) -> float:
    begun_here = not store.partial(stage).exists()
    folder = store.begin(stage)
    if store.complete(stage):
        return read_seconds(store.promote(stage)) or 0.0
    before = read_seconds(folder) or 0.0
    start = time.monotonic()
    try:
        with together(stage):
            run_stage(stage, store)
    except InputError:
        if begun_here and not (folder / "checkpoints").exists():
            store.discard(stage)
        raise
    except BaseException:
        if folder.is_dir():
            write_seconds(folder, before + time.monotonic() - start)
        raise
    seconds = round(before + time.monotonic() - start, 3)
    write_seconds(folder, seconds)
    store.finish(stage)
    return seconds


def run_stage(stage: Stage, store: Store) -> None:
    """Run a stage's function in its unfinished folder; under torchrun, in each process that takes part."""
    import_modules(stage.modules)
    give_way_when_busy()
    STAGES[stage.kind].run(
        StageContext(
            config=stage.config,
            inputs={name: store.path(other) for name, other in stage.inputs.items()},
            folder=store.partial(stage),
            seed=stage.seed,
            settings=stage.settings,
        )
    )
