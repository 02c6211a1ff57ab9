import itertools
import math
import time
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echochamber.evaluation import Votes, count_votes, maj_at_k, pass_at_k
from echochamber.verify import vote_key

# (answer or None, correct): the correct answer is "5" in two spellings.
SAMPLE = st.sampled_from(
    [("5", True), ("5.0", True), ("1", False), ("2", False), ("7", False), ("9", False), (None, False)]
)


def brute_force(samples: list[tuple[str | None, bool]], k: int) -> tuple[float, float]:
    """Accuracy and ties by electing a winner in every subset of size k."""
    name = min((a for a, ok in samples if ok and a is not None), default="")
    won = tied = 0
    subsets = list(itertools.combinations(samples, k))
    for subset in subsets:
        votes = Counter(name if ok else answer for answer, ok in subset if ok or answer is not None)
        if not votes:
            continue
        most = max(votes.values())
        first = sorted(answer for answer, count in votes.items() if count == most)
        tied += len(first) > 1
        won += any(ok for _, ok in subset) and first[0] == name
    return won / len(subsets), tied / len(subsets)


def majority(samples: list[tuple[str | None, bool]], k: int) -> tuple[float, float]:
    result = maj_at_k(count_votes([a for a, _ in samples], [ok for _, ok in samples]), k)
    return result.accuracy, result.ties


def test_pass_at_k_by_hand() -> None:
    # 4 samples, 2 correct, draw 2: 1 - C(2,2)/C(4,2) = 5/6.
    assert pass_at_k(4, 2, 2) == pytest.approx(5 / 6, abs=1e-15)
    assert pass_at_k(4, 0, 4) == 0.0
    assert pass_at_k(4, 1, 4) == 1.0
    assert pass_at_k(10, 3, 1) == pytest.approx(0.3, abs=1e-15)


@given(st.integers(1, 80), st.data())
def test_pass_at_k_is_the_ratio_of_binomials(n: int, data: st.DataObject) -> None:
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    exact = 1 - Fraction(math.comb(n - c, k), math.comb(n, k))
    assert pass_at_k(n, c, k) == pytest.approx(float(exact), abs=1e-12)


def test_pass_at_k_stays_finite_for_many_samples() -> None:
    assert pass_at_k(100_000, 1, 50_000) == pytest.approx(0.5)


@pytest.mark.parametrize(("n", "c", "k"), [(4, 5, 1), (4, -1, 1), (4, 2, 0), (4, 2, 5)])
def test_pass_at_k_refuses_the_impossible(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match="need"):
        pass_at_k(n, c, k)


def test_one_right_seven_wrong_does_not_win() -> None:
    # The case where counting distinct answers scored 100 %.
    samples = [("5", True)] + [("7", False)] * 7
    assert majority(samples, 8) == (0.0, 0.0)
    assert majority(samples, 1)[0] == pytest.approx(1 / 8)


def test_tie_goes_to_the_answer_that_sorts_first() -> None:
    assert majority([("5", True), ("7", False)], 2) == (1.0, 1.0)
    assert majority([("5", True), ("1", False)], 2) == (0.0, 1.0)


def test_equivalent_spellings_vote_together() -> None:
    samples = [("5", True), ("5.0", True), ("7", False), (None, False)]
    assert majority(samples, 4) == (1.0, 0.0)


def test_votes_go_by_value() -> None:
    # The case in which three spellings of one wrong answer lost to two right samples.
    wrong = [("8", False), ("8.0", False), ("\\$8", False)]
    right = [("7", True), ("7", True)]
    assert majority([*wrong, *right], 5) == (0.0, 0.0)
    assert majority([*right, ("7.0", True), ("7.00 dollars", True), *wrong], 7) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("8", "8.0", True),
        ("1,000", "1000", True),
        ("1/2", "\\frac{1}{2}", True),
        ("0.5", "\\frac12", True),
        ("8.000000000000002", "8", True),
        ("x = 8", "8", True),
        ("2\\sqrt3", "2 \\sqrt{3}", True),
        ("1, -2", "-2,1", True),
        ("(1, 2)", "(1,2)", True),
        ("(1, 2)", "(2, 1)", False),
        ("8", "8.1", False),
        ("50%", "50", False),
        ("x+1", "x-1", False),
    ],
)
def test_what_is_one_vote(one: str, other: str, same: bool) -> None:
    assert (vote_key(one) == vote_key(other)) is same


def test_a_rejected_spelling_is_no_vote_for_the_right_answer() -> None:
    assert count_votes(["72", "144/2"], [True, False]).correct == 1


@given(st.lists(st.text(max_size=20), max_size=20))
def test_whatever_the_answers_are_every_sample_is_counted(answers: list[str]) -> None:
    votes = count_votes(answers, [False] * len(answers))
    assert votes.num_samples == len(answers)


def test_counting_votes_is_linear() -> None:
    def seconds(samples: int) -> float:
        answers = [f"{n} and {n} \\text{{ of }} {n}" for n in range(samples)]
        start = time.perf_counter()
        count_votes(answers, [False] * samples)
        return time.perf_counter() - start

    seconds(10)
    assert min(seconds(4000) for _ in range(2)) < 10 * min(seconds(1000) for _ in range(3)) + 0.05


def test_unparsed_samples_take_a_place_but_do_not_vote() -> None:
    samples: list[tuple[str | None, bool]] = [("5", True), (None, False), (None, False)]
    assert majority(samples, 3) == (1.0, 0.0)
    assert majority(samples, 1)[0] == pytest.approx(1 / 3)


def test_majority_by_hand() -> None:
    # 2 right ("5"), 2 wrong ("7"), draw 3: always 2:1 for one of them, each half of the time.
    samples = [("5", True)] * 2 + [("7", False)] * 2
    assert majority(samples, 3) == pytest.approx((0.5, 0.0), abs=1e-12)


@given(st.lists(SAMPLE, min_size=1, max_size=8), st.data())
@settings(max_examples=300, deadline=None)
def test_majority_equals_counting_every_subset(
    samples: list[tuple[str | None, bool]], data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, len(samples)))
    assert majority(samples, k) == pytest.approx(brute_force(samples, k), abs=1e-10)


@given(st.lists(SAMPLE, min_size=1, max_size=40), st.data())
@settings(deadline=None)
def test_invariants(samples: list[tuple[str | None, bool]], data: st.DataObject) -> None:
    n, correct = len(samples), sum(ok for _, ok in samples)
    k = data.draw(st.integers(1, n))
    accuracy, ties = majority(samples, k)
    assert 0.0 <= accuracy <= pass_at_k(n, correct, k)
    assert 0.0 <= ties <= 1.0
    assert majority(samples, 1)[0] == pytest.approx(correct / n, abs=1e-12)
    shuffled = data.draw(st.permutations(samples))
    assert majority(list(shuffled), k) == (accuracy, ties)
    assert pass_at_k(n, correct, k) <= pass_at_k(n, correct, min(k + 1, n)) + 1e-12


@given(st.integers(1, 64), st.data())
def test_all_unparsable_gives_zero(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, n))
    assert majority([(None, False)] * n, k) == (0.0, 0.0)


def test_majority_is_not_monotone_in_k() -> None:
    # 4 right of 10, the wrong ones united: larger votes lose more often.
    samples = [("5", True)] * 4 + [("7", False)] * 6
    assert majority(samples, 1)[0] > majority(samples, 9)[0]


def test_many_samples_stay_finite() -> None:
    result = maj_at_k(Votes(1200, (900,), (), 1900), 2000)
    assert result.accuracy == pytest.approx(1.0, abs=1e-9)


def test_refuses_more_votes_than_samples() -> None:
    with pytest.raises(ValueError, match="need"):
        maj_at_k(Votes(1, (), (), 0), 2)
