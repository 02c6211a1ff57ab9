"""The confusion matrix over renderings and over texts made to mislead."""

import json
import os
from pathlib import Path

import pytest

from echochamber.formats import ALL_LABELS, Step, Worked, classify, format_names, get_format, quality
from echochamber.formats.quality import ADVERSARIAL


def test_no_text_made_to_mislead_does() -> None:
    found = quality()
    assert found.mistakes == ()
    assert (found.correct, found.total) == (len(ADVERSARIAL), len(ADVERSARIAL))
    assert {expected for expected, _ in ADVERSARIAL} == set(ALL_LABELS()) & {
        label for label, _ in ADVERSARIAL
    }


def test_every_rendering_is_recognized() -> None:
    examples = []
    for left in range(2, 60):
        steps = (
            Step("a", f"{left} * 3", f"{left} * 3", str(left * 3), "Define the deficit as", "coins"),
            Step("b", "a - 2", f"{left * 3} - 2", str(left * 3 - 2)),
        )
        worked = Worked("How many?", steps, str(left * 3 - 2))
        examples += [
            (name, get_format(name).render(worked)) for name in ("tinygsm", "llm_code", "boxed", "gsm8k")
        ]
    found = quality(examples)
    assert found.correct == found.total == len(examples)


def test_mistakes_are_counted_and_shown() -> None:
    found = quality([("boxed", "no box"), ("boxed", "\\boxed{1}")])
    assert (found.correct, found.total) == (1, 2)
    assert found.counts["boxed"]["none"] == 1
    assert found.mistakes == (("boxed", "none", "no box"),)
    assert set(found.counts) == {*format_names(), "none", "ambiguous"}


def data() -> Path:
    root = Path(os.environ.get("ECHOCHAMBER_TEST_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
    if not root.exists():
        pytest.skip("the real data sets are not here")
    return root


def test_real_solutions_are_recognized() -> None:
    rows = [json.loads(line) for line in (data() / "gsm8k" / "train.jsonl").open()]
    assert all(classify(row["answer"]) == "gsm8k" for row in rows)
    assert all(classify(row["question"]) == "none" for row in rows)
    rows = [json.loads(line) for line in (data() / "math500" / "test.jsonl").open()]
    assert all(classify(row["solution"]) == "boxed" for row in rows)
