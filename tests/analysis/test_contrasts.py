"""Sums of ratios, paired where they were measured on the same problems."""

import numpy as np
import pytest

from echochamber.analysis import Ratio
from echochamber.analysis.contrasts import Term, sum_of


def test_a_sum_over_other_problems_is_wider_than_a_paired_one() -> None:
    rng = np.random.default_rng(0)
    ease = rng.normal(size=100)
    values = [
        Ratio.mean([1 / (1 + np.exp(-ease - rng.normal(0, 0.2, 100)))[:, None] for _ in range(3)])
        for _ in range(2)
    ]
    same = [Term(sign, r, (("a",) * 100,) * 3) for sign, r in zip((1, -1), values, strict=True)]
    other = [same[0], Term(-1, values[1], (("b",) * 100,) * 3)]
    paired, apart = sum_of(same).difference, sum_of(other).difference
    assert paired.estimate == pytest.approx(apart.estimate)
    assert paired.high - paired.low < 0.5 * (apart.high - apart.low)
