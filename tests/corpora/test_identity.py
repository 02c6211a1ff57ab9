"""When two problems are the same: by text, by structure, and what is done about it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echochamber.base import InputError
from echochamber.corpora import Reserved, WordProblemsSource, open_source, reserve_problems
from echochamber.corpora.gsm8k_corpus import Gsm8kSource, Gsm8kTask
from echochamber.corpora.gsm8k_solutions import structure_of_solution
from echochamber.corpora.identity import joined, text_key, words_of
from echochamber.corpora.local_files import JsonlTask
from echochamber.corpora.word_problems import WordProblemsTask

DIFFERENT = [
    ("Compute a + 7.", "Compute a - 7."),
    ("Compute a + 7.", "Compute a * 7."),
    ("Compute 5 + 3.", "Compute 5 - 3."),
    ("Compute 5 + 3.", "Compute 3 + 5."),  # one structure, two texts
    ("What is -3 + 4?", "What is 3 + 4?"),
    ("What is −3 + 4?", "What is 3 + 4?"),
    ("What is 3 - 4?", "What is 3 4?"),
    ("What is 2.5?", "What is 25?"),
    ("What is 2.5?", "What is 2,5?"),
    ("What is .5?", "What is 5?"),
    ("What is 3/4?", "What is 34?"),
    ("What is 3:4?", "What is 34?"),
    ("What is 3 ÷ 4?", "What is 3 × 4?"),
    ("What is x^2?", "What is x2?"),
    ("What is x²?", "What is x2?"),
    ("What is x²?", "What is x₂?"),
    ("What is x_1?", "What is x1?"),
    ("What is 3½?", "What is 3?"),
    ("What is 3¼?", "What is 31/4?"),
    ("Is it 3 ①?", "Is it 31?"),
    ("Is it 3①?", "Is it 31?"),
    ("What is 5!?", "What is 5?"),
    ("What is 5%?", "What is 5?"),
    ("What is $5?", "What is €5?"),
    ("When is x != 3?", "When is x = 3?"),
    ("When is 3!=x?", "When is 3=x?"),
    ("When is x ≤ 3?", "When is x ≥ 3?"),
    ("When is x < 3?", "When is x > 3?"),
    ("What is (2+3)*4?", "What is 2+3*4?"),
    ("What is |x|?", "What is x?"),
    ("What is 2-sqrt(3)?", "What is 2 sqrt(3)?"),
    ("What is f'(2)?", "What is f(2)?"),
    ("What is √2?", "What is 2?"),
    ("∀x∃y", "∃x∀y"),
    ("У Ани 3 яблока и 5 груш. Сколько всего?", "У Бори 3 марки, он отдал 5 монет. Сколько марок?"),
    ("小明有3个苹果和5个梨。", "小红有3个苹果和5个梨。"),
    ("لدى سارة 3 تفاحات", "لدى ليلى 3 تفاحات"),
    ("מה הוא 3 + 5?", "מי הוא 3 + 5?"),
    ("किताब 3", "कताब 3"),  # a vowel sign apart
    ("résumé 3", "resume 3"),
    ("🍎 + 🍎 = 4", "🍌 + 🍌 = 4"),
    ("😀", "😁"),
    ("Ana has 3 pens and gets 5.", "Ben has 3 pens and gets 5."),
    ("?", "!"),
    ("", " "),
]

SAME = [
    ("Ana has 3 pens. How many?", "ANA  HAS 3 pens\nhow many"),
    ("It's “well-known”, he said…", "It’s well known he said"),
    ("What is 3 × 4?", "What is 3*4?"),
    ("What is 3 − 4?", "What is 3 - 4?"),
    ("What is 3 ÷ 4?", "What is 3/4?"),
    ("What is x²?", "What is x^2?"),
    ("What is ３＋４?", "What is 3+4?"),
    ("What is ٣ + ٥?", "What is 3 + 5?"),
    ("She pays 1,000 dollars.", "She pays 1000 dollars."),
    ("é", "e\u0301"),
    ("Große Zahl", "GROSSE ZAHL"),
    ("小明 有 3 个苹果。", "小明有3个苹果"),
    ("a\u00a0b\u200bc", "a bc"),
    ("❤️ + 3", "❤ + 3"),
]


@pytest.mark.parametrize(("first", "second"), DIFFERENT)
def test_what_makes_another_problem(first: str, second: str) -> None:
    assert text_key(first) != text_key(second)


@pytest.mark.parametrize(("first", "second"), SAME)
def test_what_no_reader_would_call_a_difference(first: str, second: str) -> None:
    assert text_key(first) == text_key(second)


@given(st.text())
def test_every_text_has_a_key(text: str) -> None:
    assert text_key(text).startswith("text:")
    assert text_key(f"  {text}\n") == text_key(text) or not words_of(text)


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=30), st.sampled_from("+-*/^=<>%"))
def test_a_sign_is_never_lost(text: str, sign: str) -> None:
    assert text_key(f"{text} 3 {sign} 5") != text_key(f"{text} 3 5")


def test_half_a_surrogate_pair_has_a_key_too() -> None:
    assert text_key("7\ud83d") != text_key("7")


@pytest.mark.parametrize(
    "piece", ["1", "1,", ".", "-", "'", "a-", "_", "!", "1!", "a'", "é", "١", "×", "½", "小"]
)
def test_words_are_found_in_linear_time(piece: str) -> None:
    def seconds(length: int) -> float:
        text = piece * (length // len(piece))
        start = time.perf_counter()
        words_of(text)
        return time.perf_counter() - start

    seconds(1000)
    assert seconds(200_000) < 20 * seconds(20_000) + 0.3


def test_sums_and_products_have_no_order() -> None:
    assert joined("+", "3", "5") == joined("+", "5", "3") != joined("-", "5", "3")
    assert joined("-", "3", "5") != joined("-", "5", "3")
    assert joined("*", "(3+5)", "2") == joined("*", "2", "(3+5)")
    assert joined("/", "8", "2") != joined("/", "2", "8")
    assert joined("+", joined("+", "1", "2"), "3") != joined("+", "1", joined("+", "2", "3"))


ANA = "Ana has 3 pens and gets 5, then gives 2 away."


@pytest.mark.parametrize(
    ("answer", "structure"),
    [
        ("She has 3+5=<<3+5=8>>8, then 8-2=<<8-2=6>>6.\n#### 6", "((3+5)-2)"),
        ("She has 5+3=<<5+3=8>>8, then 8-2=<<8-2=6>>6.\n#### 6", "((3+5)-2)"),
        ("She has 5+3=<<5+3=8>>8, then 8-2=<<8-2=6>>6.\n#### 7", "((3+5)-2)"),  # a wrong gold changes nothing
        ("<<3*5=15>>15 and <<10/4=2.5>>2.5\n#### 2.5", "(10/4);(3*5)"),
        ("<<0.50*4=2>>2\n#### 2", "(4*1/2)"),
        ("<<3=3>>3\n#### 3", ""),
        ("No computation.\n#### 3", ""),
        ("<<3+=3>>3\n#### 3", ""),
        ("<<1e999*2=3>>3\n#### 3", ""),
        (f"<<{'(' * 300}3{')' * 300}+1=4>>4\n#### 4", ""),
    ],
)
def test_the_structure_of_an_annotated_solution(answer: str, structure: str) -> None:
    assert structure_of_solution(ANA, answer) == structure


def _jsonl(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_rows_that_differ_in_a_sign_are_all_there_and_repeated_ones_are_counted(tmp_path: Path) -> None:
    rows = [{"question": f"Compute a {sign} {n}.", "answer": n} for sign in "+-*" for n in range(1, 8)]
    repeated = [{"question": "compute  A + 7", "answer": 7}, {"question": "Compute a + 6!", "answer": 6}]
    task = JsonlTask(path=_jsonl(tmp_path / "a.jsonl", [*rows, repeated[0]]))
    drawn = reserve_problems({"test": task}, seed=0)["test"]
    assert len(drawn) == 21
    assert drawn.left_out == {"question already in this set": 1}
    later = JsonlTask(path=_jsonl(tmp_path / "b.jsonl", [rows[0], repeated[1]]))
    drawn = reserve_problems({"test": task, "rl": later}, seed=0)["rl"]
    assert [p.question for p in drawn] == ["Compute a + 6!"]
    assert drawn.left_out == {"question of an earlier task": 1}
    with pytest.raises(InputError, match="no problem that is new; 22 left out: question of an earlier task"):
        reserve_problems({"test": task, "rl": task}, seed=0)


def _annotated(question: str, *steps: str) -> dict[str, str]:
    lines = [f"So <<{step}>>{step.rpartition('=')[2]}." for step in steps]
    return {"question": question, "answer": "\n".join([*lines, f"#### {steps[-1].rpartition('=')[2]}"])}


def test_twins_of_test_problems_are_neither_drawn_nor_trained_on(tmp_path: Path) -> None:
    test = _jsonl(
        tmp_path / "test.jsonl", [_annotated("Ana has 3 and 5.", "3+5=8"), _annotated("Six?", "6*7=42")]
    )
    train = _jsonl(
        tmp_path / "train.jsonl",
        [
            _annotated("Ben has 5 and 3.", "5+3=8"),
            _annotated("Cid has 5, less 3.", "5-3=2"),
            _annotated("Z?", "9-1=8"),
        ],
    )
    tasks = {"test": Gsm8kTask(path=test), "rl": Gsm8kTask(path=train)}
    drawn = reserve_problems(tasks, seed=0)
    assert [p.question for p in drawn["rl"]] == ["Cid has 5, less 3.", "Z?"]
    assert drawn["rl"].left_out == {"operations and numbers of a problem of an earlier task": 1}
    reserved = Reserved.of(drawn["test"], drawn["rl"])
    for name in ("gsm8k", "boxed"):
        source = Gsm8kSource(path=train, format=name)
        # Post-training problems may be in a file of training documents; evaluation problems may not.
        assert [e.question for e in open_source(source, seed=0, reserved=reserved)] == [
            "Cid has 5, less 3.",
            "Z?",
        ]
    generated = WordProblemsSource(format="boxed", levels=(1,), largest=9, documents=3000)
    structures = {e.structure for e in open_source(generated, seed=0, reserved=reserved)}
    assert structures.isdisjoint({"(3+5)", "(6*7)", "(5-3)", "(9-1)"}) and len(structures) > 50


def test_a_generator_does_not_ask_what_an_evaluation_file_asks(tmp_path: Path) -> None:
    source = WordProblemsSource(format="boxed", levels=(1,), largest=9, documents=500)
    asked = {e.question for e in open_source(source, seed=0)}
    rows = [{"question": question, "answer": 1} for question in list(asked)[:40]]
    path = _jsonl(
        tmp_path / "test.jsonl", [{**row, "question": (row["question"] or "").upper()} for row in rows]
    )
    reserved = Reserved.of(reserve_problems({"test": JsonlTask(path=path)}, seed=0)["test"])
    again = {e.question for e in open_source(source, seed=0, reserved=reserved)}
    assert again.isdisjoint({row["question"] for row in rows})


def test_no_generated_problem_has_its_operands_turned_in_another_set() -> None:
    tasks = {
        "test": WordProblemsTask(num_problems=60, largest=12),
        "rl": WordProblemsTask(num_problems=120, largest=12),
    }
    drawn = reserve_problems(tasks, seed=0)
    structures = [p.structure for problems in drawn.values() for p in problems]
    assert len(set(structures)) == len(structures) == 180
    reserved = Reserved.of(drawn["test"], drawn["rl"])
    source = WordProblemsSource(format="tinygsm", largest=12, documents=4000)
    assert {e.structure for e in open_source(source, seed=0, reserved=reserved)}.isdisjoint(structures)
