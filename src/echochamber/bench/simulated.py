"""Simulated studies whose truth is known: what seeds, problems and samples do to a measured share.

A measurement is a binomial count. On the logit scale its probability is the sum of the problem's ease, an
interaction of problem and model (new in every training), one of problem and arm (the same in every training),
and an effect of the training on all problems.

Shapes: P problems, R repetitions of a study, S seeds; a measurement is one (P, R) array per seed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Measurement = list[Array]

NUM_PROBLEMS = 200
NUM_SAMPLES = 8

_Z: Array = np.linspace(-8.0, 8.0, 401)
_WEIGHT: Array = np.exp(-0.5 * _Z * _Z) / np.exp(-0.5 * _Z * _Z).sum()


@dataclass(frozen=True)
class SimulatedDesign:
    """How one share or accuracy is generated.

    Attributes:
        center: mean of the problems' logits.
        ease: standard deviation of the problems' logits.
        model: standard deviation of the interaction of problem and training.
        arm: standard deviation of the interaction of problem and arm, shared by all its trainings.
        base: standard deviation of the effect of a seed's base model on all problems and arms.
        run: standard deviation of the effect of a training on all problems.
        num_problems, num_samples: of the measurement.
    """

    center: float = 1.5
    ease: float = 1.5
    model: float = 0.7
    arm: float = 0.35
    base: float = 0.0
    run: float = 0.0
    num_problems: int = NUM_PROBLEMS
    num_samples: int = NUM_SAMPLES

    @property
    def truth(self) -> float:
        """The expected share over trainings and problems."""
        return _mean_share(self.center, math.hypot(self.ease, self.model, self.arm, self.base, self.run))

    @property
    def spread_of_runs(self) -> float:
        """Standard deviation over trainings of the share over all problems."""
        deviation = math.hypot(self.ease, self.model, self.arm, self.base)
        shares = np.array([_mean_share(self.center + self.run * z, deviation) for z in _Z[::8]])
        weight = _WEIGHT[::8] / _WEIGHT[::8].sum()
        return math.sqrt(max(float(weight @ shares**2 - (weight @ shares) ** 2), 0.0))

    def arms(
        self, rng: np.random.Generator, num_arms: int, num_seeds: int, repetitions: int
    ) -> list[Measurement]:
        """Measured shares of arms that start from the same base models and are equal in expectation."""
        return [
            [rng.binomial(self.num_samples, chance) / self.num_samples for chance in arm]
            for arm in self.chances(rng, num_arms, num_seeds, repetitions)
        ]

    def chances(
        self, rng: np.random.Generator, num_arms: int, num_seeds: int, repetitions: int
    ) -> list[Measurement]:
        """The probabilities behind the shares of `arms`."""
        shape = (self.num_problems, repetitions)
        ease = rng.normal(self.center, self.ease, shape)
        own = [ease + rng.normal(0.0, self.arm, shape) for _ in range(num_arms)]
        found: list[Measurement] = [[] for _ in range(num_arms)]
        for _ in range(num_seeds):
            base = rng.normal(0.0, self.model, shape) + rng.normal(0.0, self.base, (1, repetitions))
            for arm, chances in zip(own, found, strict=True):
                chances.append(logistic(arm + base + rng.normal(0.0, self.run, (1, repetitions))))
        return found


def design_with(share: float, run_points: float = 0.0, **deviations: Any) -> SimulatedDesign:
    """A design with this expected share and a standard deviation of `run_points` over trainings."""
    low, high = 0.0, 8.0 if run_points else 0.0
    design = replace(SimulatedDesign(), **deviations)
    for _ in range(30):
        design = _centered(replace(design, run=(low + high) / 2.0), share)
        low, high = (design.run, high) if 100.0 * design.spread_of_runs < run_points else (low, design.run)
    return design


def _centered(design: SimulatedDesign, share: float) -> SimulatedDesign:
    """The same design, recentered so that it has the given share."""
    low, high = -20.0, 20.0
    for _ in range(40):
        middle = (low + high) / 2.0
        below = replace(design, center=middle).truth < share
        low, high = (middle, high) if below else (low, middle)
    return replace(design, center=(low + high) / 2.0)


def bimodal(
    rng: np.random.Generator, num_arms: int, num_seeds: int, repetitions: int,
    *, chance: float, high: float = 0.95, low: float = 0.02,
) -> list[Measurement]:  # fmt: skip
    """Shares of a format that wins a training with this chance and otherwise dies out, per arm."""
    shape = (NUM_PROBLEMS, repetitions)
    ease = rng.normal(0.0, 0.5, shape)
    found: list[Measurement] = []
    for _ in range(num_arms):
        own = ease + rng.normal(0.0, 0.35, shape)
        measured = []
        for _ in range(num_seeds):
            wins = rng.random((1, repetitions)) < chance
            logit = np.where(wins, _logit(high), _logit(low)) + rng.normal(0.0, 0.5, (1, repetitions))
            share = logistic(own + logit + rng.normal(0.0, 0.3, shape))
            measured.append(rng.binomial(NUM_SAMPLES, share) / NUM_SAMPLES)
        found.append(measured)
    return found


def bimodal_truth(chance: float, high: float = 0.95, low: float = 0.02) -> float:
    """The expected share of `bimodal` over trainings and problems."""
    deviation = math.hypot(0.5, 0.35, 0.5, 0.3)
    won, lost = (_mean_share(_logit(mode), deviation) for mode in (high, low))
    return chance * won + (1.0 - chance) * lost


def logistic(x: Array) -> Array:
    """The logistic function."""
    result: Array = 1.0 / (1.0 + np.exp(-x))
    return result


def _mean_share(center: float, deviation: float) -> float:
    """Expectation of the logistic function of a normal variable."""
    return float(_WEIGHT @ logistic(center + _Z * deviation))


def _logit(p: float) -> float:
    return math.log(p / (1.0 - p))
