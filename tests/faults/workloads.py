"""Small pieces of real work for the fault tests; each is what a user's command would run."""

from __future__ import annotations

import itertools
import os
import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from echochamber.base import RunLock, stop_signals
from echochamber.model import ModelConfig, build
from echochamber.train import OptimizerConfig, PretrainConfig, fit

VOCAB = 13


class CountingCorpus:
    """Rows that count upwards modulo the vocabulary."""

    num_tokens = 4096
    sources = ("counting",)

    def steps(self, batch_size: int, sequence_length: int) -> int:
        return self.num_tokens // (batch_size * sequence_length)

    def batch(self, step: int, *, batch_size: int, sequence_length: int, seed: int) -> np.ndarray:
        start = np.random.default_rng([seed, step]).integers(VOCAB, size=(batch_size, 1))
        return (start + np.arange(sequence_length + 1)) % VOCAB

    def heldout(self, source: str) -> Iterable[np.ndarray]:
        return [np.arange(20) % VOCAB]


def pretrain(folder: str, corpus: CountingCorpus | None = None) -> None:
    """Pretrain a tiny model, keep it, drop the checkpoints."""
    shape = ModelConfig(
        d_model=8, num_layers=1, num_heads=1, mlp_hidden=16, vocab_size=VOCAB, context_length=16
    )
    config = PretrainConfig(
        batch_size=2,
        sequence_length=16,
        steps=6,
        optimizer=OptimizerConfig(learning_rate=0.01),
        evaluate_every=3,
        checkpoint_every=2,
        snapshots=(3,),
    )
    target = Path(folder)
    with stop_signals(), RunLock(target / "lock"):
        if not (target / "model" / "config.json").exists():
            policy = build(shape, seed=0)
            fit(policy, corpus or CountingCorpus(), config, target, seed=1)
            policy.write(target / "model")
        shutil.rmtree(target / "checkpoints", ignore_errors=True)


class SlowCorpus(CountingCorpus):
    """The same batches, a while after they were asked for."""

    def batch(self, step: int, *, batch_size: int, sequence_length: int, seed: int) -> np.ndarray:
        time.sleep(0.2)
        return super().batch(step, batch_size=batch_size, sequence_length=sequence_length, seed=seed)


def pretrain_slowly(folder: str) -> None:
    """The same run, a fifth of a second a step."""
    pretrain(folder, SlowCorpus())


def study(folder: str, changes: Sequence[str] = ()) -> None:
    """`echochamber run three_arms.yaml --set ...` with `folder` as the current one."""
    from echochamber.study import open_study, run_study

    Path(folder).mkdir(exist_ok=True)
    os.chdir(folder)
    run_study(open_study(Path(__file__).parent / "three_arms.yaml", changes))


def study_while_the_clock_goes_back(folder: str) -> None:
    """The study on a machine whose clock is set back again and again."""
    now = itertools.count(2e9, -3600.0)
    time.time = lambda: next(now)
    time.time_ns = lambda: int(next(now) * 1e9)
    study(folder)


def study_again_and_again(folder: str, times: int) -> None:
    """The study several times in one process; prints memory and open files after each."""
    from echochamber.study import open_study, run_study

    Path(folder).mkdir(exist_ok=True)
    os.chdir(folder)
    for _ in range(times):
        run_study(open_study(Path(__file__).parent / "three_arms.yaml"), force=True)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        megabytes = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
        print(f"after a study: {megabytes:.0f} MB, {len(list(Path('/proc/self/fd').iterdir()))} open files")
