"""Which questions are asked in a step."""

from echochamber.rl.rollouts import questions_of_step


def test_questions_come_pass_after_pass() -> None:
    asked = [i for step in range(10) for i in questions_of_step(7, step, 6, 20)]
    assert sorted(asked[:20]) == sorted(asked[20:40]) == list(range(20))
    assert asked[:20] != asked[20:40]
    assert questions_of_step(7, 3, 6, 20) == asked[18:24]
    assert questions_of_step(8, 0, 6, 20) != asked[:6]
