# ruff: noqa: E501 - a completion reads best on one line
"""From completions to verdicts with tier 1."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# ruff: noqa: E501 - completions read best on one line
from echochamber.base import InputError
from echochamber.verify import ExecutionLimits, Grader, Outcome, grade


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    with Grader(limits=ExecutionLimits(seconds=0.5), workers=2) as shared:
        yield shared


def function(body: str) -> str:
    lines = "\n".join("    " + line for line in body.split("\n"))
    return f"def simple_math_problem():\n{lines}"


PROGRAMS = [
    (function("return 18"), Outcome.correct),
    (function("return 18.0"), Outcome.correct),
    (function("return 0.1 + 17.9"), Outcome.correct),
    (function("return '18'"), Outcome.correct),
    (function("return 18.001"), Outcome.wrong),
    (function("return 19"), Outcome.wrong),
    (function("return True"), Outcome.wrong),
    (function("return [18]"), Outcome.correct),
    (function("return [18, 18]"), Outcome.wrong),
    (function("return [[18]]"), Outcome.wrong),
    (function("return float('nan')"), Outcome.wrong),
    (function("return float('inf')"), Outcome.wrong),
    (function("return 18j"), Outcome.wrong),
    (function("return 10 ** 4000"), Outcome.wrong),
    (function("print('the answer:')\nprint(18)"), Outcome.correct),
    (function("x = 18"), Outcome.no_answer),
    (function("return None"), Outcome.no_answer),
    (function("return 1 / 0"), Outcome.runtime_error),
    (function("return apples"), Outcome.runtime_error),
    (function("return 18 +"), Outcome.syntax_error),
    (function("while True:\n    pass\nreturn 18"), Outcome.timeout),
    (function("while True:\n    try:\n        while True:\n            pass\n    except:\n        pass\nreturn 18"), Outcome.timeout),
    (function("return sum(range(10 ** 12))"), Outcome.timeout),
    (function("return 10 ** 10 ** 8"), Outcome.memory),
    (function("x = [0] * 10 ** 10\nreturn 18"), Outcome.memory),
    (function("while True:\n    print('x' * 1000)"), Outcome.memory),
    (function("return simple_math_problem()"), Outcome.runtime_error),
    (function("import os\nreturn 18"), Outcome.unsupported),
    (function("import sympy\nreturn 18"), Outcome.unsupported),
    (function("return open('/etc/passwd').read()"), Outcome.unsupported),
    (function("return eval('18')"), Outcome.unsupported),
    (function("return (18).__class__(18)"), Outcome.unsupported),
    (function("import time\ntime.sleep(100)\nreturn 18"), Outcome.unsupported),
    (function("return " + "(" * 100_000 + "18" + ")" * 100_000), Outcome.syntax_error),
    (function("return " + "(" * 500 + "18" + ")" * 500), Outcome.syntax_error),
    (function("return " + "-" * 10_000 + "18"), Outcome.syntax_error),
    ("import time\n" + function("start = time.time()\nreturn 18"), Outcome.correct),
    ("import datetime\n" + function("return (datetime.date(2024, 1, 19) - datetime.date(2024, 1, 1)).days"), Outcome.correct),
    ("from datetime import datetime, timedelta\n" + function("return (datetime(2024, 1, 1) + timedelta(days=17)).day"), Outcome.correct),
    ("import math\nfrom typing import List\n\ndef half(x: int) -> float:\n    return x / 2\n\n" + function("return math.ceil(half(35))"), Outcome.correct),
    ("def helper(x):\n    return x + 1\n\n" + function("return helper(17)") + "\n\nprint(simple_math_problem())", Outcome.correct),
    ("def first():\n    return 17\n\ndef last():\n    return first() + 1", Outcome.correct),
    ("def f(x):\n    return x + 1\n\nprint(f(17))", Outcome.correct),
    ("class Box:\n    size = 9\n    def __init__(self, n):\n        self.n = n\n\n" + function("return Box(2).n * Box.size"), Outcome.correct),
    ("RATE = 2\n" + function('"""How many?\n\nSo \\boxed{3} \\$ #### 3\n"""\nreturn 9 * RATE'), Outcome.correct),
    ("```python\n" + function("return 18") + "\n```", Outcome.correct),
    ("Here is the code:\n\n" + function("return 18") + "\n\nThe answer is 18.", Outcome.correct),
    ("<llm-code>\nx = 17\nx + 1\n</llm-code>\n<llm-code-output>\n5\n</llm-code-output>\n\\boxed{5}", Outcome.correct),
    ("<llm-code>\nx = 17\nprint(x + 1)\n</llm-code>", Outcome.correct),
    ("<llm-code>\nx = 17\n</llm-code>\nSo then\n<llm-code>\ny = x + 1\ny\n</llm-code>", Outcome.correct),
    ("<llm-code>\nx = 17\n</llm-code>\n\\boxed{18}", Outcome.no_answer),
    ("<llm-code>\n    x = 17\n    x + 1\n</llm-code>", Outcome.correct),
    ("<llm-code>\n18", Outcome.correct),
    ("\\boxed{18}", Outcome.correct),
    ("\\boxed{18 dollars}", Outcome.correct),
    ("\\boxed{17=18}", Outcome.wrong),
    ("\\boxed{18\\%}", Outcome.wrong),
    ("\\boxed{18j}", Outcome.wrong),
    ("\\boxed{17.999999999999996}", Outcome.correct),
    ("\\boxed{17.99}", Outcome.wrong),
    ("\\boxed{3} no, \\boxed{18}", Outcome.correct),
    ("\\boxed{18", Outcome.no_answer),
    ("Tom has 9+9=<<9+9=18>>18\n#### 18", Outcome.correct),
    ("Tom has 9+9=<<9+9=18>>18", Outcome.no_answer),
    ("The answer is 18.", Outcome.no_answer),
    ("18 18 18 18", Outcome.no_answer),
    ("", Outcome.no_answer),
    (function("return 18") + "\n\nThe answer is \\boxed{18}.", Outcome.correct),
    (function("return 17") + "\n\nThe answer is \\boxed{18}.", Outcome.wrong),
    ("\\boxed{17}\n#### 18", Outcome.wrong),
]  # fmt: skip


@pytest.mark.parametrize(("completion", "outcome"), PROGRAMS, ids=[text[:60] for text, _ in PROGRAMS])
def test_outcome(grader: Grader, completion: str, outcome: Outcome) -> None:
    (verdict,) = grader.grade([completion], ["18"])
    assert verdict.outcome is outcome
    assert verdict.reward == float(outcome is Outcome.correct)


def test_a_number_that_squares_itself_ends(grader: Grader) -> None:
    (verdict,) = grader.grade([function("x = 7\nfor _ in range(100):\n    x = x * x\nreturn 18")], ["18"])
    assert verdict.outcome in (Outcome.memory, Outcome.timeout)


def test_same_verdicts_whatever_the_workers_and_the_company() -> None:
    texts = [text for text, outcome in PROGRAMS if outcome is not Outcome.timeout]
    golds = ["18"] * len(texts)
    with Grader(workers=1) as one, Grader(workers=3) as three:
        verdicts = one.grade(texts, golds)
        assert three.grade(texts[::-1], golds)[::-1] == verdicts
    assert [verdict.outcome for verdict in verdicts] == [o for _, o in PROGRAMS if o is not Outcome.timeout]


def test_no_state_passes_between_programs(grader: Grader) -> None:
    leave = "<llm-code>\nimport math\nmath.pi = 3\nLEAK = 18\nLEAK\n</llm-code>"
    look = "<llm-code>\ntry:\n    found = LEAK\nexcept NameError:\n    found = 0\nfound\n</llm-code>"
    for _ in range(4):
        verdicts = grader.grade([leave, look], ["18", "0"])
        assert verdicts[1].outcome is Outcome.correct


@pytest.mark.parametrize(
    ("number", "digits"),
    [(2.675, 2), (1.005, 2), (0.5, 0), (2.5, 0), (-1.115, 2), (1e22, 3), (1234.5678, -2)],
)
def test_rounding_is_that_of_python(grader: Grader, number: float, digits: int) -> None:
    (verdict,) = grader.grade([f"<llm-code>\nround({number!r}, {digits})\n</llm-code>"], ["1"])
    assert verdict.answer == repr(round(number, digits))


def test_truncation_renames_only_what_it_explains(grader: Grader) -> None:
    texts = [
        function("return 18 +"),
        "We add",
        "\\boxed{18}",
        "\\boxed{17}",
        function("return 1 / 0"),
        "\\boxed{1",
    ]
    outcomes = [v.outcome for v in grader.grade(texts, ["18"] * 6, truncated=[True] * 6)]
    assert outcomes == [
        Outcome.truncated, Outcome.truncated, Outcome.correct, Outcome.wrong, Outcome.runtime_error, Outcome.truncated,
    ]  # fmt: skip
    assert grader.grade(texts[:1], ["18"], truncated=[True])[0].format == "tinygsm"


def test_stated_answers_are_recorded_but_not_paid(grader: Grader) -> None:
    text = "<llm-code>\n17\n</llm-code>\nThe answer is \\boxed{18}."
    (verdict,) = grader.grade([text], ["18"])
    assert (verdict.outcome, verdict.answer, verdict.stated, verdict.stated_correct) == (
        Outcome.wrong,
        "17",
        "18",
        True,
    )


def test_an_option_pays_the_stated_answer(grader: Grader) -> None:
    text = "<llm-code>\n17\n</llm-code>\nThe answer is \\boxed{18}."
    with Grader(reward_stated=True) as other:
        stated, silent, function_ = other.grade(
            [text, "<llm-code>\n18\n</llm-code>", function("return 18")], ["18"] * 3
        )
    assert (stated.outcome, stated.answer, stated.computed, stated.computed_correct) == (
        Outcome.correct,
        "18",
        "17",
        False,
    )
    assert (silent.outcome, silent.computed, silent.computed_correct) == (Outcome.no_answer, "18", True)
    assert function_.reward == 1.0


def test_golds_may_carry_their_solution(grader: Grader) -> None:
    assert grader.grade(["\\boxed{1234}"], ["5+5=<<5+5=10>>10\n#### 1,234"])[0].reward == 1.0
    assert grader.grade(["\\boxed{1234}"], ["5+5=<<5+5=10>>10\nA: 1,234"])[0].reward == 1.0


def test_a_name_that_the_program_gave_its_result_is_the_answer(grader: Grader) -> None:
    program = "def total():\n    return 3 + 4\n\ntotal = total()\nprint(total)"
    verdicts = grader.grade([program, program], ["7", "8"])
    assert [verdict.outcome for verdict in verdicts] == [Outcome.correct, Outcome.wrong]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"golds": ["eighteen"]}, "the gold answer 'eighteen' is not a number"),
        ({"golds": ["18"], "rules": "gsm9k"}, "unknown rules 'gsm9k'.*Did you mean 'gsm8k'"),
        ({"golds": ["18", "18"]}, "1 completions for 2 gold answers"),
        ({"golds": ["1000"], "rules": "aime"}, "expected an integer from 0 to 999"),
    ],
)
def test_bad_input_is_refused(grader: Grader, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        grader.grade(["\\boxed{18}"], **arguments)  # type: ignore[arg-type]


def test_unknown_tiers_are_refused() -> None:
    with pytest.raises(InputError, match="expected \\[1\\], \\[2\\] or \\[1, 2\\]"):
        Grader(tiers=(3,))
    with pytest.raises(InputError, match="at least 1"):
        Grader(workers=0)


def test_aime() -> None:
    assert grade("\\boxed{033}", "33", "aime").reward == 1.0
    assert grade("\\boxed{33}", "033", "aime").reward == 1.0
    assert grade("\\boxed{33.5}", "33", "aime").reward == 0.0
    assert grade(function("return 33"), "33", "aime").reward == 1.0


def test_a_killed_worker_is_replaced(grader: Grader) -> None:
    grader.grade([function("return 1")], ["1"])
    for child in grader._interpreters._children:
        os.killpg(child.process.pid, signal.SIGKILL)
    texts = [function(f"return {n} + 1") for n in range(50)]
    verdicts = grader.grade(texts, [str(n + 1) for n in range(50)])
    assert sum(verdict.reward for verdict in verdicts) == 50


def interpreters_of(worker: int) -> list[int]:
    children = Path(f"/proc/{worker}/task/{worker}/children")
    return [int(pid) for pid in children.read_text().split()]


@pytest.mark.skipif(sys.platform != "linux", reason="finds the interpreters in /proc")
@pytest.mark.parametrize("victim", ["worker", "interpreter"])
@pytest.mark.parametrize("moment", ["programs are left", "all programs are handed out"])
def test_processes_killed_in_the_middle_of_a_batch_change_no_verdict(
    monkeypatch: pytest.MonkeyPatch, victim: str, moment: str
) -> None:
    handed_out = moment == "all programs are handed out"
    numbers = [str(n) for n in range(8 if handed_out else 60)]
    killed: list[int] = []
    with Grader() as grader:
        pool = grader._interpreters
        step = pool._step

        def kill_and_step(work: Any) -> None:
            busy = [child for child in pool._children if child.jobs]
            if busy and not killed and (work.is_drawn if handed_out else len(work.results) > 10):
                for child in pool._children:
                    killed.append(child.process.pid)
                    if victim == "worker":
                        os.killpg(child.process.pid, signal.SIGKILL)
                    else:
                        for pid in interpreters_of(child.process.pid):
                            os.kill(pid, signal.SIGKILL)
            step(work)

        monkeypatch.setattr(pool, "_step", kill_and_step)
        verdicts = grader.grade([function(f"return {n}") for n in numbers], numbers)
    assert killed
    assert all(verdict.reward == 1.0 for verdict in verdicts)


def test_journal_is_read_again_and_wins(tmp_path: Path) -> None:
    path = tmp_path / "stage" / "verdicts.jsonl"
    with Grader(journal=path) as grader:
        assert grader.grade([function("return 18"), function("return 1")], ["18", "18"])[0].reward == 1.0
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["value"] for row in rows] == ["18", "1"]
    rows[0]["value"] = "19"
    torn = '{"key": "torn'
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + torn)
    with Grader(journal=path) as grader:
        (verdict,) = grader.grade([function("return 18")], ["18"])
        assert (verdict.answer, verdict.reward) == ("19", 0.0)
    assert torn not in path.read_text()


def test_limits_are_part_of_the_journal_key(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.jsonl"
    for seconds in (1.0, 2.0):
        with Grader(journal=path, limits=ExecutionLimits(seconds=seconds)) as grader:
            grader.grade([function("return 18")], ["18"])
    assert len(path.read_text().splitlines()) == 2


def test_no_process_is_left_behind() -> None:
    script = (
        "from echochamber.verify import Grader\n"
        "g = Grader(workers=2)\n"
        "g.grade(['def f():\\n    return %d' % n for n in range(20)], ['1'] * 20)\n"
        "print(*[c.process.pid for c in g._interpreters._children])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )

    pids = [int(pid) for pid in done.stdout.split()]
    assert pids
    for _ in range(100):
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return
        time.sleep(0.05)
    pytest.fail("a worker outlived its owner")
