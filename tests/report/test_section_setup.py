"""What was trained, and on what, in the order of a reader's questions."""

from pathlib import Path

import pytest

from echochamber.analysis import Run
from echochamber.report.html import block_html
from echochamber.report.material import Material
from echochamber.report.sections.setup import facts, flat, setup
from synthetic import make_run


@pytest.mark.parametrize("unit", ["tokens", "documents"])
def test_a_mixture_says_what_its_shares_are_shares_of(tmp_path: Path, unit: str) -> None:
    run = make_run(tmp_path / unit, arms=("grpo",), num_points=2, num_problems=5)
    text = (run / "study.yaml").read_text()
    (run / "study.yaml").write_text(text.replace("tokens: 3000000", f"{unit}: 3000000"))
    assert f"3,000,000 {unit}, of which tinygsm 30%" in dict(facts(Run(run)))["Mixture three"]


def test_facts(several: Material) -> None:
    found = dict(facts(several.run))
    assert found["Model sizes"] == "pico" and found["Context"] == "160 tokens"
    assert found["Pretraining"] == "batches of 16 x 128 tokens, learning rate 0.004"
    assert found["Seeds"] == "0, 1, 2"
    assert "reward: random" in found["Arm random"] and "reward" not in found["Arm grpo"]
    assert "32 prompts x 8 samples" in found["Arm grpo"]
    assert found["Evaluation"].startswith("test, 4 samples at temperature 1")


def test_nested_data_becomes_dotted_names() -> None:
    assert flat({"a": {"b": [1, 2], "c": None}, "d": "x"}) == [("a.b", "1, 2"), ("d", "x")]


def test_seconds_machine_and_the_study_are_shown_below(material: Material) -> None:
    [block] = setup(material)
    text = block_html(block)
    assert '<td class="number">132.4 s</td>' in text and "<td>torch</td>" in text
    assert material.run.study_text.splitlines()[0] in text
