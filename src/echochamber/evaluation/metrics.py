"""pass@k and maj@k as exact expectations over a random choice of k of the n samples.

Both are averages over all subsets of size k, computed in closed form, so that
the choice of a subset adds no noise of its own.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from echochamber.verify import vote_key

Polynomial = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Votes:
    """What n samples of one problem voted for.

    Attributes:
        correct: samples whose answer is the correct one; equivalent spellings are one answer.
        winning_ties: sizes of the wrong answers that beat the correct one in a tie.
        losing_ties: sizes of the wrong answers that lose a tie to the correct one.
        unparsed: samples without an answer; they cast no vote but count as drawn.
    """

    correct: int
    winning_ties: tuple[int, ...]
    losing_ties: tuple[int, ...]
    unparsed: int

    @property
    def num_samples(self) -> int:
        return self.correct + sum(self.winning_ties) + sum(self.losing_ties) + self.unparsed

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes of all answers that got a vote."""
        return tuple(s for s in (self.correct, *self.winning_ties, *self.losing_ties) if s)


@dataclass(frozen=True, slots=True)
class Majority:
    """Outcome of majority voting over a random k of the samples.

    Attributes:
        accuracy: probability that the vote elects the correct answer.
        ties: probability that two or more answers share the first place.
    """

    accuracy: float
    ties: float


def count_votes(answers: Sequence[str | None], correct: Sequence[bool]) -> Votes:
    r"""Count one vote per sample, by value: `8`, `8.0` and `\$8` are one answer, right or wrong.

    Ties are won by the answer whose `vote_key` sorts first.

    Args:
        answers: answer of each sample, None when none was found.
        correct: whether the grader accepted the sample. All accepted samples are one answer, whatever
            their texts, and no rejected sample counts as the same answer (`144/2` where 72 is asked).
    """
    if len(answers) != len(correct):
        raise ValueError(f"{len(answers)} answers but {len(correct)} verdicts")
    num_correct = sum(correct)
    keys = [None if answer is None else vote_key(answer) for answer in answers]
    wrong = Counter(key for key, ok in zip(keys, correct, strict=True) if not ok and key is not None)
    name = min((key for key, ok in zip(keys, correct, strict=True) if ok and key is not None), default="")
    first = sorted(size for key, size in wrong.items() if not num_correct or key < name)
    last = sorted(size for key, size in wrong.items() if num_correct and key >= name)
    return Votes(num_correct, tuple(first), tuple(last), len(answers) - num_correct - wrong.total())


def pass_at_k(num_samples: int, num_correct: int, k: int) -> float:
    """Probability that at least one of k samples, drawn without replacement, is correct.

    1 - C(n-c, k) / C(n, k), as the product of Chen et al. 2021
    (arXiv:2107.03374), which neither overflows nor cancels.

    Raises:
        ValueError: not 0 <= num_correct <= num_samples, or not 1 <= k <= num_samples.
    """
    if not 0 <= num_correct <= num_samples or not 1 <= k <= num_samples:
        raise ValueError(
            f"need 0 <= correct <= n and 1 <= k <= n: n {num_samples}, correct {num_correct}, k {k}"
        )
    if num_samples - num_correct < k:
        return 1.0
    below = num_samples - num_correct
    return float(1.0 - np.prod(1.0 - k / np.arange(below + 1, num_samples + 1, dtype=np.float64)))


@lru_cache(maxsize=65536)
def maj_at_k(votes: Votes, k: int) -> Majority:
    """Accuracy of the majority vote of k samples drawn without replacement, and how often it is a tie.

    How often each answer is drawn follows a multivariate hypergeometric law.
    That law is n independent binomials of success p = k/n conditioned on their
    sum being k, so its counts multiply as polynomials whose coefficients are
    probabilities: nothing overflows for any n. Condition on the correct answer
    being drawn j times; every other answer is then capped, at j if it loses
    ties and at j-1 if it wins them, and the coefficient of x^(k-j) of the
    product is what remains.

    Raises:
        ValueError: k outside 1..n.
    """
    n = votes.num_samples
    if not 1 <= k <= n:
        raise ValueError(f"need 1 <= k <= n: n {n}, k {k}")
    p = k / n
    total = _binomial(n, p)[k]
    won = _probability_of_winning(votes.correct, votes.winning_ties, votes.losing_ties, votes.unparsed, k, p)
    accuracy = min(float(won / total), pass_at_k(n, votes.correct, k))
    sizes = Counter(votes.sizes)
    alone = 0.0
    for size, copies in sizes.items():
        others = tuple((sizes - Counter([size])).elements())
        alone += copies * _probability_of_winning(size, others, (), votes.unparsed, k, p)
    nobody = _binomial(votes.unparsed, p)[k] if votes.unparsed >= k else 0.0
    nobody *= math.prod(float(_binomial(size, p)[0]) for size in votes.sizes)
    ties = 1.0 - float((alone + nobody) / total)
    return Majority(accuracy=max(accuracy, 0.0), ties=min(max(ties, 0.0), 1.0))


def _probability_of_winning(
    size: int, winning_ties: Sequence[int], losing_ties: Sequence[int], unparsed: int, k: int, p: float
) -> float:
    """Joint probability that k samples are drawn in total and that the answer of `size` samples wins."""
    won = 0.0
    own = _binomial(size, p)
    for j in range(1, min(size, k) + 1):
        # An answer too small to reach its cap is not constrained: all of these share one binomial.
        free, product = unparsed, np.ones(1)
        for others, cap in ((winning_ties, j - 1), (losing_ties, j)):
            for other in others:
                if other <= cap:
                    free += other
                else:
                    product = np.convolve(product, _binomial(other, p)[: cap + 1])[: k - j + 1]
        rest = _binomial(free, p)
        drawn = np.arange(max(0, k - j - free), min(len(product) - 1, k - j) + 1)
        won += float(own[j] * np.dot(product[drawn], rest[k - j - drawn]))
    return won


@lru_cache(maxsize=16384)
def _binomial(size: int, p: float) -> Polynomial:
    """Probabilities of 0..size successes of probability p; shape (size + 1,)."""
    if p == 1.0:
        certain = np.zeros(size + 1)
        certain[size] = 1.0
        return certain
    i = np.arange(size + 1)
    log_factorial = np.array([math.lgamma(m + 1.0) for m in range(size + 1)])
    log_choose = log_factorial[size] - log_factorial - log_factorial[::-1]
    probabilities: Polynomial = np.exp(log_choose + i * math.log(p) + (size - i) * math.log1p(-p))
    return probabilities
