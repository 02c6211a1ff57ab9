"""Generated problems: what the words say is what the operations compute, and no split shares a problem."""

from __future__ import annotations

import random
import re
import sys
from itertools import islice
from pathlib import Path

import pytest
from pydantic import ValidationError

from echochamber.base import InputError, Problem
from echochamber.corpora import (
    BaseTask,
    Reserved,
    WordProblemsSource,
    open_source,
    read_problems,
    reserve_problems,
    write_problems,
)
from echochamber.corpora.arithmetic import ArithmeticSource
from echochamber.corpora.operations import PATTERNS, NumberLimits, Operation, evaluate, spoil, structure_of
from echochamber.corpora.stories import FAMILY_NAMES, Teller
from echochamber.corpora.story_texts import FAMILIES, PAIRS
from echochamber.corpora.word_problems import WordProblemsTask, worked
from echochamber.corpora.wording import Move
from echochamber.formats import format_names
from echochamber.formats.tinygsm import TinyGsm

sys.path.insert(0, str(Path(__file__).parent))
from terse_reader import solve

SYMBOLS = ("+", "-", "*", "/")


def _teller(style: str = "terse", **changed: object) -> Teller:
    options: dict = {
        "style": style, "families": FAMILY_NAMES, "operations": SYMBOLS,
        "limits": NumberLimits(2, 20, 100, False), "distractors": 0.0,
    }  # fmt: skip
    return Teller(**{**options, **changed})


def _stories(teller: Teller, count: int, levels: tuple[int, ...] = (1, 2, 3, 4, 5, 6)) -> list:
    rng = random.Random(3)
    stories = []
    while len(stories) < count:
        story = teller.tell(levels[len(stories) % len(levels)], rng)
        if story is not None:
            stories.append(story)
    return stories


def test_the_words_of_every_terse_question_lead_to_its_answer() -> None:
    stories = _stories(_teller(), 4000)
    assert {story.family for story in stories} == set(FAMILY_NAMES)
    for story in stories:
        answer = story.values[story.operations[-1].name]
        assert solve(story.question, story.family) == answer, story.question


@pytest.mark.parametrize("style", ["terse", "rich"])
def test_results_stay_within_the_limits_and_levels_are_exact(style: str) -> None:
    for index, story in enumerate(_stories(_teller(style), 1500)):
        assert len(story.operations) == index % 6 + 1
        assert evaluate(story.operations) == story.values
        assert all(1 <= value <= 100 for value in story.values.values())
        literals = [o for operation in story.operations for o in operation[2:] if isinstance(o, int)]
        assert all(2 <= literal <= 20 for literal in literals)


def test_every_number_of_the_tree_is_stated_in_the_question() -> None:
    words = {
        "half": 2,
        "third": 3,
        "quarter": 4,
        "fifth": 5,
        "sixth": 6,
        "seventh": 7,
        "eighth": 8,
        "ninth": 9,
    }
    for story in _stories(_teller("rich"), 1000):
        stated = [int(number) for number in re.findall(r"\d+", story.question)]
        stated += [words[word] for word in re.findall("|".join(words), story.question)]
        stated += [10] * story.question.count("a tenth")
        for operation in story.operations:
            for operand in operation[2:]:
                if isinstance(operand, int):
                    assert operand in stated, (story.question, operation)


def _moves() -> list[tuple[str, Move]]:
    moves = [
        (style, move)
        for styles in FAMILIES.values()
        for style, wording in styles.items()
        for move in (*wording.openings, *wording.events, *wording.endings)
    ]
    return moves + [(s, move) for s, pair in PAIRS.items() for move in (*pair.relations, *pair.events)]


def test_every_sentence_states_the_numbers_of_its_pattern() -> None:
    for style, move in _moves():
        needed = set(re.findall(r"[mn]", move.pattern))
        for text in move.texts:
            stated = set(re.findall(r"\{([mn])\}", text)) | ({"n"} if "{fraction}" in text else set())
            assert stated == needed, (style, text)
        assert move.pattern in PATTERNS


# Solved by a person from the words alone.
BY_HAND = [
    (
        1,
        "The nearest library is 14 minutes away. Liam buys 15 boxes, and every box holds 9 "
        "stamps. All of them are packed equally into 9 boxes. How many stamps are in each box?",
        15,
    ),
    (
        2,
        "It is 15 degrees outside. Emeka collects 19 cards. Ann has 18 cards. Ann loses 13 of "
        "them. Ann trades until Ann has 14 times as many as before. How many more cards does Ann "
        "have than Emeka?",
        51,
    ),
    (
        3,
        "Ingrid has $3. She then works 15 hours for $12 an hour. She divides the money into 3 "
        "equal parts and keeps one of them. She donates $27. How much money does she have left, "
        "in dollars?",
        34,
    ),
    (
        5,
        "A bakery has 28 tarts on the counter. By noon a quarter of them are sold. How many tarts"
        " does the shop have now?",
        21,
    ),
    (
        6,
        "Nadia reads 21 chapters in the morning and 15 chapters at night. On holiday she reads 2 "
        "times as many as she has read so far, in addition. How many chapters has she read "
        "altogether?",
        108,
    ),
    (
        11,
        "A train leaves the station with 19 people. At the school 8 groups of 2 get off. At the "
        "market 22 families of 2 get on. How many people remain on board?",
        47,
    ),
]


@pytest.mark.parametrize(("seed", "question", "answer"), BY_HAND)
def test_rich_stories_by_hand(seed: int, question: str, answer: int) -> None:
    teller = _teller("rich", limits=NumberLimits(2, 30, 200, False), distractors=0.2)
    story = teller.tell(seed % 4 + 1, random.Random(seed))
    assert story is not None
    assert (story.question, story.values[story.operations[-1].name]) == (question, answer)


def test_the_structure_of_operations_has_their_numbers_and_no_order_of_sums() -> None:
    operations = [Operation("a", "*", 3, 4), Operation("b", "-", 20, "a")]
    assert structure_of(operations) == "(20-(3*4))"
    turned = [Operation("a", "*", 4, 3), Operation("b", "-", 20, "a")]
    assert structure_of(turned) == structure_of(operations)
    assert structure_of([Operation("a", "-", 5, 3)]) != structure_of([Operation("a", "-", 3, 5)])
    nested = [Operation("a", "+", 2, 9), Operation("b", "+", 1, "a")]
    assert structure_of(nested) == "(1+(2+9))"
    assert evaluate(operations) == {"a": 12, "b": 8}
    assert evaluate([Operation("a", "/", 7, 2)]) is None


def test_distractors_stand_in_front_and_change_nothing() -> None:
    plain, distracted = _teller("rich"), _teller("rich", distractors=1.0)
    a, b = plain.tell(2, random.Random(8)), distracted.tell(2, random.Random(8))
    assert a is not None and b is not None
    assert b.question.endswith(a.question) and b.question != a.question
    assert a.operations == b.operations


def test_negative_results_only_where_they_are_allowed() -> None:
    allowed = _teller(limits=NumberLimits(2, 20, 100, True), operations=("-",))
    values = [v for story in _stories(allowed, 500, (1, 2)) for v in story.values.values()]
    assert min(values) < 0


@pytest.mark.parametrize("name", ["tinygsm", "llm_code", "boxed", "gsm8k"])
def test_a_source_is_a_function_of_its_seed_and_can_start_at_any_chunk(name: str) -> None:
    source = WordProblemsSource(format=name, families=("bus", "money"))
    chunks = list(islice(source.chunks(seed=5, excluded=frozenset()), 3))
    assert list(islice(source.chunks(seed=5, excluded=frozenset(), start=2), 1)) == chunks[2:]
    assert chunks[0] != chunks[1]
    assert next(source.chunks(seed=6, excluded=frozenset())) != chunks[0]


def test_programs_of_a_source_compute_the_answer() -> None:
    source = WordProblemsSource(format="tinygsm", style="rich", levels=(1, 2, 3, 4, 5, 6))
    for example in islice(open_source(source, seed=1), 500):
        namespace: dict = {}
        exec(example.solution, namespace)
        assert namespace["simple_math_problem"]() == eval(example.key), example


def test_wrong_solutions_are_wrong_in_the_share_asked_for() -> None:
    source = WordProblemsSource(format="tinygsm", wrong_share=0.3)
    examples = list(islice(open_source(source, seed=2), 2000))
    for example in examples:
        namespace: dict = {}
        exec(example.solution, namespace)
        assert (namespace["simple_math_problem"]() == eval(example.key)) == example.correct
    assert 0.26 < sum(not example.correct for example in examples) / 2000 < 0.34


def test_spoiled_operations_stay_consistent() -> None:
    operations = (Operation("a", "+", 12, 5), Operation("b", "-", "a", 3))
    for seed in range(200):
        wrong = spoil(operations, NumberLimits(2, 20, 100, False), random.Random(seed))
        values = evaluate(wrong)
        assert values is not None and values["b"] != 14
        assert sum(a != b for a, b in zip(operations, wrong, strict=True)) == 1


def test_reserved_problems_are_disjoint_and_training_never_sees_them() -> None:
    tasks = {
        "test": WordProblemsTask(num_problems=150),
        "rl": WordProblemsTask(num_problems=400, style="rich"),
    }
    reserved = reserve_problems(tasks, seed=0)
    test, rl = ({p.key for p in reserved[name]} for name in tasks)
    assert len(test) == 150 and len(rl) == 400 and not test & rl
    assert [p.level for p in reserved["test"][:4]] == [1, 2, 1, 2]
    excluded = test | rl
    reserved = Reserved.of(reserved["test"], reserved["rl"])
    for name in ("tinygsm", "boxed"):
        source = WordProblemsSource(format=name)
        trained = {e.key for e in islice(open_source(source, seed=1, reserved=reserved), 8000)}
        assert len(trained) > 2000 and not trained & excluded


def test_the_first_task_does_not_depend_on_later_ones() -> None:
    task = WordProblemsTask(num_problems=20)
    alone = reserve_problems({"test": task}, seed=4)["test"]
    assert reserve_problems({"test": task, "rl": task}, seed=4)["test"] == alone
    assert reserve_problems({"test": task}, seed=5)["test"] != alone


def test_families_and_depths_can_be_held_out_whole() -> None:
    task = WordProblemsTask(families=("reading",), levels=(4,), num_problems=50)
    problems = reserve_problems({"far": task}, seed=0)["far"]
    assert {p.family for p in problems} == {"reading"} and {p.level for p in problems} == {4}
    source = WordProblemsSource(format="boxed", families=("bus", "money"), levels=(1, 2))
    questions = [e.question for e in islice(open_source(source, seed=0), 3000)]
    assert not any("reads" in (question or "") for question in questions)


def test_a_grammar_that_runs_out_says_how_many_it_has() -> None:
    options: dict = {"levels": (1,), "operations": ("+",), "largest": 5}
    small = WordProblemsTask(**options, num_problems=100)
    # 2 + 2 up to 5 + 5, in either order: 4 * 5 / 2.
    message = (
        r"task 'test': asks for 100 problems of 1 operation, .* only 10 .* 0 are reserved .* 10 are left"
    )
    with pytest.raises(InputError, match=message):
        reserve_problems({"test": small}, seed=0)
    six = WordProblemsTask(**options, num_problems=6)
    with pytest.raises(InputError, match=r"task 'rl': asks for 6 .* only 10 .* 6 are reserved .* 4 are left"):
        reserve_problems({"test": six, "rl": six}, seed=0)
    reserved = Reserved.of(reserve_problems({"test": six}, seed=0)["test"])
    source = WordProblemsSource(format="boxed", **options)
    message = "has 10 different structures, 6 of them are reserved for problem sets and 4 are left"
    with pytest.raises(InputError, match=message):
        source.check_left(source.excluded(reserved))
    all_ten = WordProblemsTask(**options, num_problems=10)
    reserved = Reserved.of([], reserve_problems({"rl": all_ten}, seed=0)["rl"])
    with pytest.raises(InputError, match="10 of them are reserved for problem sets and 0 are left"):
        next(open_source(source, seed=0, reserved=reserved))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "tinygms"}, "Did you mean 'tinygsm'"),
        ({"format": "boxed", "families": ("buss",)}, "Did you mean 'bus'"),
        ({"format": "boxed", "levels": (7,)}, "from 1 to 6"),
        ({"format": "boxed", "smallest": 9, "largest": 8}, "smallest 9 is above largest 8"),
        ({"format": "boxed", "wrong_share": 1.5}, "less than or equal to 1"),
        ({"format": "boxed", "families": ()}, "at least 1"),
    ],
)
def test_impossible_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises((ValidationError, InputError), match=message):
        WordProblemsSource(**options)


def test_problems_survive_the_disk(tmp_path: Path) -> None:
    problems = reserve_problems({"test": WordProblemsTask(num_problems=5)}, seed=0)["test"]
    write_problems(tmp_path / "test.jsonl", problems)
    assert read_problems(tmp_path / "test.jsonl") == problems
    (tmp_path / "bad.jsonl").write_text('{"key": "a"}\n')
    with pytest.raises(InputError, match="bad.jsonl:1: not a problem of ours"):
        read_problems(tmp_path / "bad.jsonl")


def test_every_format_renders_every_story() -> None:
    for story in _stories(_teller("rich"), 60):
        from echochamber.formats import classify, get_format

        for name in format_names():
            assert classify(get_format(name).render(worked(story))) == name


def test_arithmetic_facts_are_true() -> None:
    source = ArithmeticSource(facts=4, largest=30, largest_result=200)
    for example in islice(open_source(source, seed=0), 500):
        facts = example.solution.split("\n")
        assert len(facts) == 4 and example.question is None
        for fact in facts:
            left, right = fact.split(" = ")
            assert eval(left) == int(right) and 0 <= int(right) <= 200


def test_arithmetic_without_possible_results_is_refused() -> None:
    source = ArithmeticSource(smallest=50, largest=60, largest_result=10, operations=("*",))
    with pytest.raises(InputError, match="hardly ever give a result up to 10"):
        next(open_source(source, seed=0))


def test_a_format_must_be_told_from_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    source = WordProblemsSource(format="boxed", levels=(1,))
    source.check_left(frozenset())
    monkeypatch.setattr(TinyGsm, "detect", lambda self, completion: True)
    with pytest.raises(InputError, match="'boxed' writes .* detected by tinygsm and boxed; exactly that"):
        source.check_left(frozenset())


class _Asked(BaseTask):
    """One problem with a gold answer and rules as given."""

    gold_answer: str
    rules: str = "gsm8k"

    def draw(self, *, seed: int, taken: frozenset[str]) -> list[Problem]:
        return [Problem(key="one", question="How many?", gold=self.gold_answer, rules=self.rules)]


def test_problems_of_any_kind_are_checked_before_they_are_asked() -> None:
    assert len(reserve_problems({"mine": _Asked(gold_answer="7")}, seed=0)["mine"]) == 1
    with pytest.raises(
        InputError, match="task 'mine': problem 'one': the gold answer 'seven' is not a number"
    ):
        reserve_problems({"mine": _Asked(gold_answer="seven")}, seed=0)
    with pytest.raises(InputError, match="task 'mine': unknown rules 'gms8k'.* Did you mean 'gsm8k'"):
        reserve_problems({"mine": _Asked(gold_answer="7", rules="gms8k")}, seed=0)
