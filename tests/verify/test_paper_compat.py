"""The published scoring beside ours: for each known defect, a case where the two numbers differ."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from echochamber.base import InputError
from echochamber.formats import classify
from echochamber.verify import ExecutionLimits, Grader
from echochamber.verify.paper_compat import PaperCompat


@pytest.fixture(scope="module")
def published() -> Iterator[PaperCompat]:
    with PaperCompat(limits=ExecutionLimits(seconds=1.0)) as shared:
        yield shared


@pytest.fixture(scope="module")
def ours() -> Iterator[Grader]:
    with Grader(limits=ExecutionLimits(seconds=1.0), workers=1) as shared:
        yield shared


FUNCTION = "def simple_math_problem():\n    return 18"
TAGGED = "<llm-code>\nx = 17\nx + 1\n</llm-code>"


def rewards(published: PaperCompat, ours: Grader, response: str, prompt: str = "") -> tuple[float, float]:
    (theirs,) = published.grade([prompt], [response], ["18"])
    return theirs.reward, ours.grade([response], ["18"])[0].reward


def test_both_pay_plain_solutions(published: PaperCompat, ours: Grader) -> None:
    for response in (FUNCTION, TAGGED, "So it is \\boxed{18}.", "9+9=<<9+9=18>>18\n#### 18"):
        assert rewards(published, ours, response) == (1.0, 1.0)


def test_a_word_decides_the_published_format(published: PaperCompat) -> None:
    text = "The deficit is \\boxed{18}."
    assert published.grade([""], [text], ["18"])[0].response_type == "tinygsm-code"
    assert classify(text) == "boxed"


def test_all_prose_is_one_published_format(published: PaperCompat) -> None:
    texts = ["It is \\boxed{18}.", "9+9=<<9+9=18>>18\n#### 18", "18"]
    assert {v.response_type for v in published.grade([""] * 3, texts, ["18"] * 3)} == {"text"}
    assert [classify(text) for text in texts] == ["boxed", "gsm8k", "none"]


def test_an_empty_response_is_paid_for_its_prompt(published: PaperCompat, ours: Grader) -> None:
    assert rewards(published, ours, "", "Tom had 20 eggs and sold 2, so now he has 18") == (1.0, 0.0)


def test_the_last_number_is_paid(published: PaperCompat, ours: Grader) -> None:
    assert rewards(published, ours, "18 18 18 18 18 18") == (1.0, 0.0)
    assert rewards(published, ours, "def simple_math_problem():\n    return undefined # 18") == (1.0, 0.0)


def test_a_loop_without_end_is_paid_for_its_text(published: PaperCompat, ours: Grader) -> None:
    loop = "def simple_math_problem():\n    while True:\n        pass\n    return 18"
    assert rewards(published, ours, loop) == (1.0, 0.0)


def test_only_the_first_block_counts(published: PaperCompat, ours: Grader) -> None:
    two = "<llm-code>\nx = 17\nx\n</llm-code>\nand now\n<llm-code>\nx + 1\n</llm-code>"
    assert rewards(published, ours, two) == (0.0, 1.0)


def test_only_the_last_definition_counts(published: PaperCompat, ours: Grader) -> None:
    helper = "def half(x):\n    return x / 2\n\n" + "def simple_math_problem():\n    return half(36) + 0 * 7"
    assert rewards(published, ours, helper) == (0.0, 1.0)
    imported = "import math\n\ndef simple_math_problem():\n    return math.sqrt(324) * 1"
    assert rewards(published, ours, imported) == (0.0, 1.0)


def test_the_published_vote_counts_values_not_samples(published: PaperCompat) -> None:
    boxed = [f"\\boxed{{{n}}}" for n in (18, 17, 17, 17, 17, 17, 17, 17)]
    assert published.metrics([boxed], ["18"]).majority == 1.0


def test_the_published_vote_keeps_the_last_problem_s_value(published: PaperCompat) -> None:
    nothing = ["I do not know", "Nor do I"]
    metrics = published.metrics([["\\boxed{18}"] * 2, nothing], ["18", "5"])
    assert (metrics.pass_at_n, metrics.majority) == (0.5, 1.0)


def test_unparsed_samples_leave_the_published_counts(published: PaperCompat, ours: Grader) -> None:
    samples = ["\\boxed{18}", "no idea", FUNCTION, "none at all"]
    metrics = published.metrics([samples], ["18"])
    assert sum(metrics.share.values()) == 0.5
    assert metrics.accuracy["text"] == 1.0
    assert sum(v.reward for v in ours.grade(samples, ["18"] * 4)) == 2.0


def test_lengths_must_match(published: PaperCompat) -> None:
    with pytest.raises(InputError, match="1 prompts, 2 responses, 1 golds"):
        published.grade([""], ["a", "b"], ["1"])


def test_hack_floor(published: PaperCompat) -> None:
    root = Path(os.environ.get("ECHOCHAMBER_TEST_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
    if not root.exists():
        pytest.skip("the real data sets are not here")
    rows = [json.loads(line) for line in (root / "gsm8k" / "test.jsonl").open()][:150]
    floor = published.hack_floor([row["question"] for row in rows], [row["answer"] for row in rows])
    assert floor.published["empty"] * len(rows) == pytest.approx(EMPTY_PAID_OF_150)
    assert set(floor.measured.values()) == {0.0}


EMPTY_PAID_OF_150 = 2
