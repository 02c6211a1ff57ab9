"""Simulated studies whose truth is known, as findings see them: arms with chosen shares and accuracies.

Shapes: P problems, T evaluated steps, F formats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from echochamber.analysis import Counts, Trajectory
from echochamber.analysis.findings import Evidence
from echochamber.analysis.recorded import RecordedArm, RecordedMixture, RecordedSource
from echochamber.evaluation import Cell

Array = npt.NDArray[np.float64]
FORMATS = ("tinygsm", "boxed", "llm_code", "none")
_SMALL = 1e-9


class InventedStudy:
    """Draws the completions of a study's arms; arms of one size and mixture share their base model.

    Each seed shifts all logits of the base model, and again those of each arm, by normal random numbers, so
    that trainings differ in shares and accuracy. Problems differ in difficulty, equally for all arms.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        *,
        num_seeds: int = 3,
        num_problems: int = 100,
        num_samples: int = 8,
        spread: float = 0.15,
    ) -> None:
        self.rng, self.num_seeds, self.num_samples, self.spread = rng, num_seeds, num_samples, spread
        self.ease_P = rng.normal(0.0, 1.0, num_problems)
        self.bases: dict[tuple[str, str, str, int], tuple[Array, Array, Array]] = {}

    def arm(
        self,
        name: str,
        shares: Sequence[Sequence[float]],
        accuracy: Sequence[float | Sequence[float]],
        *,
        steps: Sequence[int] | None = None,
        size: str = "pico",
        mixture: str = "mixed",
        benchmark: str = "test",
    ) -> Trajectory:
        """An arm with given shares (T rows over FORMATS) and accuracies (T, overall or per format).

        The first row is that of the base model; arms of one size, mixture and benchmark share its draw.
        """
        p_TF = np.array([[*row, *[0.0] * (len(FORMATS) - len(row))] for row in shares], dtype=float)
        a_TF = np.array([np.broadcast_to(a, len(FORMATS)) for a in accuracy], dtype=float)
        times = tuple(steps) if steps is not None else tuple(10 * i for i in range(len(p_TF)))
        counts = []
        for seed in range(self.num_seeds):
            key = (size, mixture, benchmark, seed)
            if key not in self.bases:
                moved = self.rng.normal(0.0, self.spread, 2 * len(FORMATS))
                self.bases[key] = (moved, *self._draw(p_TF[:1], a_TF[:1], moved))
            moved, first, first_right = self.bases[key]
            own = moved + self.rng.normal(0.0, self.spread, 2 * len(FORMATS))
            later, later_right = self._draw(p_TF[1:], a_TF[1:], own)
            completions = np.concatenate([first, later], axis=1)
            reward = np.concatenate([first_right, later_right], axis=1)
            problems = tuple(f"{benchmark}-{i}" for i in range(len(self.ease_P)))
            counts.append(Counts(seed, problems, completions, reward, reward.sum(axis=2)))
        cell = Cell(name, name.partition("-")[0], size, mixture, None, "", benchmark)
        return Trajectory(cell, False, times, FORMATS, tuple(counts), cell.base())

    def _draw(self, p_TF: Array, a_TF: Array, moved: Array) -> tuple[Array, Array]:
        """Completions and rewards, (P, T, F) each; a_TF is the expected accuracy over problems and seeds."""
        num = len(FORMATS)
        weights = p_TF * np.exp(moved[:num])
        weights /= weights.sum(axis=1, keepdims=True)
        shape = (len(self.ease_P), *p_TF.shape)
        written = self.rng.multinomial(self.num_samples, np.broadcast_to(weights, shape))
        logit = np.log(np.clip(a_TF, _SMALL, 1.0) / np.clip(1.0 - a_TF, _SMALL, 1.0)) * 1.2
        skill = 1.0 / (1.0 + np.exp(-(logit + moved[num:] + self.ease_P[:, None, None])))
        return written.astype(float), self.rng.binomial(written, skill).astype(float)


def invented_evidence(
    arms: Sequence[Trajectory],
    configs: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    others: Sequence[Trajectory] = (),
    controls: Sequence[Trajectory] = (),
    mixtures: Mapping[str, RecordedMixture] | None = None,
    sources: Mapping[str, RecordedSource] | None = None,
    samples_per_step: Mapping[str, float] | None = None,
    questions: int = 80,
) -> Evidence:
    """A study of these arms; an arm's algorithm is its name up to the first hyphen.

    By default each step asks 4 questions 8 times, so that a pass over 80 questions ends at step 20.
    """
    everyone = [*arms, *controls]
    plain = {"task": "train", "samples_per_prompt": 8}
    stated = configs or {}
    per_step = samples_per_step or {}
    return Evidence(
        primary=tuple(everyone),
        others=tuple(others),
        controls=tuple(controls),
        configs={
            t.cell: RecordedArm.model_validate(
                {"algorithm": t.cell.algorithm, **plain, **stated.get(t.cell.arm, {})}
            )
            for t in everyone
        },
        mixtures=mixtures or {},
        sources=sources or {},
        questions={"train": questions},
        samples={t.cell: tuple(step * per_step.get(t.cell.arm, 32.0) for step in t.steps) for t in everyone},
        majority=_majority,
    )


def _majority(t: Trajectory, index: int, k: int) -> list[Array]:
    """Whether more than half of the samples are correct; replaces a vote."""
    return [(values > 0.5).astype(float) for values in t.accuracy_per_problem(index)]
