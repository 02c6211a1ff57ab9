"""Which completions are shown, and how."""

from echochamber.report.html import block_html
from echochamber.report.material import Material
from echochamber.report.sections.completions import (
    MAX_SHOWN,
    ShownCompletion,
    completions,
    shown_problems,
)


def test_problems_are_chosen_by_their_position(material: Material) -> None:
    group = material.primary[0]
    every = shown_problems(material.run, group, num_problems=99)
    assert len(every) == 20
    some = shown_problems(material.run, group, num_problems=5)
    assert [p.question for p in some] == [every[i].question for i in (0, 4, 8, 12, 16)]


def test_base_and_last_step_answer_the_same_problem(material: Material) -> None:
    group = material.primary[0]
    for problem in shown_problems(material.run, group, num_problems=3):
        assert [(c.arm, c.step) for c in problem.completions] == [
            ("base", 0), ("grpo", 40), ("random", 40), ("ppo", 40),
        ]  # fmt: skip
        rows = material.run.query(
            "SELECT completion, format, answer, outcome FROM completions WHERE question = $q "
            "AND arm = 'grpo' AND step = 40 AND sample = 0 AND NOT greedy AND benchmark = 'test'",
            {"q": problem.question},
        ).to_pylist()
        shown = problem.completions[1]
        assert any(
            (row["completion"], row["format"], row["answer"]) == (shown.text, shown.format, shown.answer)
            and shown.correct == (row["outcome"] == "correct")
            for row in rows
        )


def test_a_wrong_answer_is_shown_beside_the_right_one(material: Material) -> None:
    [block] = completions(material)
    text = block_html(block)
    shown = [p for block in block.context["blocks"] for p in block["problems"]]
    assert len(shown) == MAX_SHOWN // 2
    wrong = [c for p in shown for c in p.completions if not c.correct and c.answer is not None]
    assert wrong and all(f": {c.answer}" in text for c in wrong)
    assert text.count('class="example" open') == 4
    assert text.count("<pre>") == 4 * len(shown)


def test_outcomes() -> None:
    assert ShownCompletion("grpo", 1, "boxed", "correct", "3", "").correct
    assert not ShownCompletion("grpo", 1, "boxed", "no answer", None, "").correct
