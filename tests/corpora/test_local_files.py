"""Local files as sources and tasks, and GSM8K as it is published."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from echochamber.base import InputError
from echochamber.corpora import BaseSource, open_source, reserve_problems
from echochamber.corpora.gsm8k_corpus import Gsm8kSource, Gsm8kTask, conversion_report
from echochamber.corpora.gsm8k_solutions import NotConvertible, convert, final_answer
from echochamber.corpora.identity import text_key
from echochamber.corpora.local_files import JsonlSource, JsonlTask, ParquetSource, ParquetTask
from echochamber.verify import Grader

ROWS = [{"question": f"What is {i}?", "solution": f"It is {i}.", "extra": i} for i in range(2500)]

DATA = Path(os.environ.get("ECHOCHAMBER_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
needs_data = pytest.mark.skipif(not (DATA / "gsm8k").is_dir(), reason="the published data is not here")


def _read(source: BaseSource) -> list:
    return list(open_source(source, seed=0))


def _jsonl(path: Path, rows: list[dict] | None = None) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in (ROWS if rows is None else rows)))
    return path


def test_jsonl_and_parquet_read_the_same_documents(tmp_path: Path) -> None:
    jsonl = _jsonl(tmp_path / "a.jsonl")
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet", row_group_size=700)
    sources = (
        JsonlSource(path=jsonl, format="boxed"),
        ParquetSource(path=tmp_path / "a.parquet", format="boxed"),
    )
    first, second = (_read(source) for source in sources)
    assert first == second and len(first) == 2500
    assert (first[7].question, first[7].solution, first[7].format) == ("What is 7?", "It is 7.", "boxed")
    for source in sources:
        late = list(source.chunks(seed=0, excluded=frozenset(), start=2))
        assert [e for chunk in late for e in chunk] == first[2000:]


def test_a_folder_is_read_file_by_file(tmp_path: Path) -> None:
    for index in range(3):
        _jsonl(tmp_path / f"part-{index}.jsonl", ROWS[index * 700 : index * 700 + 700])
        pq.write_table(
            pa.Table.from_pylist(ROWS[index * 700 : index * 700 + 700]), tmp_path / f"{index}.parquet"
        )
    for source in (JsonlSource(path=tmp_path), ParquetSource(path=tmp_path)):
        examples = _read(source)
        assert [e.question for e in examples] == [row["question"] for row in ROWS[:2100]]
        late = [e for chunk in source.chunks(seed=0, excluded=frozenset(), start=1) for e in chunk]
        assert late == examples[1000:]
    limited = JsonlSource(path=tmp_path, documents=1500)
    assert len(_read(limited)) == 1500


def test_raw_text_has_no_question(tmp_path: Path) -> None:
    path = _jsonl(tmp_path / "a.jsonl", [{"text": "Some text."}, {"text": 12}])
    examples = _read(JsonlSource(path=path, question=None, solution="text"))
    assert [(e.question, e.solution) for e in examples] == [(None, "Some text."), (None, "12")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            '{"question": "q", "solution": "s"}\n{"question": "q"}\n',
            r"a\.jsonl:2: no field 'solution'; it has question",
        ),
        ('{"question": "q", "soluton": "s"}\n', r"Did you mean 'soluton'"),
        ('{"question": "q", "solution": "s"}\n\n{broken\n', r"a\.jsonl:3: not valid JSON"),
        ("[1]\n", r"a\.jsonl:1: expected a JSON object, found list"),
        ('{"question": "q", "solution": null}\n', r"a\.jsonl:1: field 'solution' is NoneType; expected text"),
    ],
)
def test_broken_rows_name_file_and_line(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(InputError, match=message):
        _read(JsonlSource(path=tmp_path / "a.jsonl"))


def test_unusable_files_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read .*none.jsonl: No such file"):
        _read(JsonlSource(path=tmp_path / "none.jsonl"))
    with pytest.raises(InputError, match=r"holds no \*\.jsonl or"):
        _read(JsonlSource(path=tmp_path))
    (tmp_path / "a.parquet").write_text("no")
    with pytest.raises(InputError, match="not a Parquet file"):
        _read(ParquetSource(path=tmp_path / "a.parquet"))
    pq.write_table(pa.table({"question": ["a"], "answers": ["b"]}), tmp_path / "b.parquet")
    with pytest.raises(InputError, match="no field 'solution'; it has question, answers"):
        _read(ParquetSource(path=tmp_path / "b.parquet"))
    (tmp_path / "latin.jsonl").write_bytes(b'{"question": "\xe9"}')
    with pytest.raises(InputError, match="not UTF-8"):
        _read(JsonlSource(path=tmp_path / "latin.jsonl"))


def test_tasks_read_problems_and_keep_them_apart(tmp_path: Path) -> None:
    rows = [
        {"problem": f"P {i % 8}?", "answer": f"so $\\boxed{{{i}}}$", "level": "Level 3"} for i in range(12)
    ]
    path = _jsonl(tmp_path / "a.jsonl", rows)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    options: dict = {
        "question": "problem", "answer_pattern": r"boxed\{(.+)\}", "rules": "math", "level": "level",
    }  # fmt: skip
    first = JsonlTask(path=path, num_problems=3, **options)
    reserved = reserve_problems(
        {"test": first, "rl": JsonlTask(path=path, num_problems=5, **options)}, seed=0
    )
    assert [p.gold for p in reserved["test"]] == ["0", "1", "2"]
    assert [p.gold for p in reserved["rl"]] == ["3", "4", "5", "6", "7"]
    assert (reserved["test"][0].rules, reserved["test"][0].level) == ("math", 3)
    parquet = ParquetTask(path=tmp_path / "a.parquet", num_problems=3, **options)
    assert reserve_problems({"test": parquet}, seed=0)["test"] == reserved["test"]
    too_many = JsonlTask(path=path, num_problems=6, **options)
    with pytest.raises(InputError, match=r"task 'rl': .*asks for 6 problems, but its 12 rows hold only 5"):
        reserve_problems({"test": first, "rl": too_many}, seed=0)
    with pytest.raises(InputError, match="a.jsonl:1: field 'answer' does not match"):
        reserve_problems(
            {"test": JsonlTask(path=path, question="problem", answer_pattern="#### (.+)")}, seed=0
        )
    with pytest.raises(ValidationError, match="one group"):
        JsonlTask(path=path, answer_pattern="####")


NATALIA = {
    "question": "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in "
    "May. How many clips did Natalia sell altogether in April and May?",
    "answer": "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\n"
    "Natalia sold 48+24 = <<48+24=72>>72 clips altogether in April and May.\n#### 72",
}


def test_a_published_solution_as_steps() -> None:
    worked = convert(NATALIA["question"], NATALIA["answer"])
    first, second = worked.steps
    assert (first.name, first.expression, first.shown, first.value) == ("clips", "48 / 2", "48 / 2", "24")
    assert (second.expression, second.shown, second.value) == ("48 + clips", "48 + 24", "72")
    assert (first.sentence, first.unit, worked.answer) == ("Natalia sold", "clips", "72")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("<<15=15>>15\n<<15-1=14>>14\n#### 14", ["15", "step1 - 1"]),
        ("Cost <<0.5*4=2>>2.\nHalf is .5*2=<<.5*2=1>>1\n#### 1", ["0.5 * 4", "0.5 * step1"]),
        # A rounded value is not the step's exact value: later steps go on from the printed number.
        ("<<10/3=3.33>>3.33\n<<3.33*100=333>>333\n#### 333", ["10 / 3", "3.33 * 100"]),
        # What comes after the answer is left out; an unannotated line counts too.
        ("<<2*3=6>>6\n<<6+1=7>>7\n<<7*2=14>>14 for two\n#### 7", ["2 * 3", "step1 + 1"]),
        ("She has <<20-5=15>>15\nThen 15 + 3 = 18 apples\n#### 18", ["20 - 5", "step1 + 3"]),
        ("<<1,000*2=2,000>>2,000\n#### 2,000", ["1000 * 2"]),
    ],
)
def test_annotations_become_expressions(answer: str, expected: list[str]) -> None:
    assert [step.expression for step in convert("Q?", answer).steps] == expected


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("No numbers here.\n#### 5", "no computation"),
        ("<<2*3=6>>6\n#### 5", "does not compute its answer"),
        ("<<2*3=9>>9\n#### 9", "annotation that is wrong"),
        ("<<2*=6>>6\n#### 6", "no expression"),
        ("<<2**3=8>>8\n#### 8", "more than"),
        ("<<8/0=8>>8\n#### 8", "divides by zero"),
        ("<<2*3=6>>6\n#### six", "no number"),
    ],
)
def test_what_does_not_convert_says_why(answer: str, reason: str) -> None:
    with pytest.raises(NotConvertible, match=reason):
        convert("Q?", answer)


def test_a_number_that_the_question_states_stays_a_number() -> None:
    answer = "<<2+3=5>>5\n<<4*2=8>>8\n<<8-5=3>>3\n#### 3"
    assert convert("There are 5 of them.", answer).steps[-1].expression == "step2 - 5"
    assert convert("There are some.", answer).steps[-1].expression == "step2 - step1"


def test_gsm8k_files(tmp_path: Path) -> None:
    rows = [NATALIA, {"question": "Odd? ", "answer": "It is so.\n#### $1,200"}]
    path = _jsonl(tmp_path / "train.jsonl", rows)
    assert [e.solution for e in _read(Gsm8kSource(path=path))] == [row["answer"] for row in rows]
    code = Gsm8kSource(path=path, format="tinygsm")
    assert len(_read(code)) == 1
    assert code.notes() == {"rows": 2, "converted": 1, "left out: has no computation": 1}
    problems = reserve_problems({"test": Gsm8kTask(path=path)}, seed=0)["test"]
    assert [(p.gold, p.level) for p in problems] == [("72", 2), ("1200", 0)]
    assert problems[1].question == "Odd?" and problems[1].key == text_key("odd")
    with pytest.raises(InputError, match="no '#### N' line"):
        final_answer("nothing")
    with pytest.raises((ValidationError, InputError), match="Did you mean 'boxed'"):
        Gsm8kSource(path=path, format="boxd")


@needs_data
def test_published_gsm8k_converts() -> None:
    report = conversion_report(DATA / "gsm8k" / "train.jsonl")
    assert report.total == 7473
    assert report.converted == 7187 and sum(report.reasons.values()) == 7473 - 7187


@needs_data
def test_renderings_of_published_solutions_earn_the_reward() -> None:
    """A sample here; all 7,187 in each format were graded when the reader was written."""
    path = DATA / "gsm8k" / "train.jsonl"
    gold = {p.key: p.gold for p in reserve_problems({"t": Gsm8kTask(path=path)}, seed=0)["t"]}
    with Grader(workers=1) as grader:
        for name in ("gsm8k", "tinygsm", "llm_code", "boxed"):
            source = Gsm8kSource(path=path, format=name, documents=300)
            examples = list(open_source(source, seed=0))
            verdicts = grader.grade([e.solution for e in examples], [gold[e.key] for e in examples])
            assert {(v.format, v.reward) for v in verdicts} == {(name, 1.0)}
