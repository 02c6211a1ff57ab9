"""Grading files."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from echochamber.base import InputError
from echochamber.verify import grade_file

ROWS = [
    {"completion": "def f():\n    return 3", "gold": "3"},
    {"completion": "The answer is \\boxed{4}.", "gold": "3"},
    {"completion": "", "gold": 3},
    {"completion": "<llm-code>\n2\n</llm-code>\n\\boxed{3}", "gold": "3"},
]


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_jsonl(tmp_path: Path) -> None:
    out = tmp_path / "new" / "graded.jsonl"
    summary = grade_file(write(tmp_path / "a.jsonl", ROWS), completion="completion", gold="gold", out=out)
    graded = [json.loads(line) for line in out.read_text().splitlines()]
    assert graded == [
        {"format": "tinygsm", "outcome": "correct", "answer": "3", "reward": 1.0},
        {"format": "boxed", "outcome": "wrong", "answer": "4", "reward": 0.0},
        {"format": "none", "outcome": "no_answer", "answer": None, "reward": 0.0},
        {
            "format": "llm_code", "outcome": "wrong", "answer": "2", "reward": 0.0,
            "stated": "3", "stated_correct": True, "computed": "2", "computed_correct": False,
        },
    ]  # fmt: skip
    assert summary.total == 4
    assert sum(summary.share.values()) == 1.0
    assert summary.accuracy["tinygsm"] == 1.0
    assert summary.accuracy["gsm8k"] is None
    assert summary.mean_reward == 0.25
    assert (summary.stated, summary.disagreements) == (1, 1)
    assert sum(summary.outcomes.values()) == 4


def test_parquet_gives_the_same(tmp_path: Path) -> None:
    rows = [{**row, "gold": str(row["gold"])} for row in ROWS]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    jsonl = grade_file(write(tmp_path / "a.jsonl", rows), completion="completion", gold="gold")
    assert grade_file(tmp_path / "a.parquet", completion="completion", gold="gold") == jsonl


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"completion": "x"}', r"a\.jsonl:2: no field 'gold'; it has completion"),
        ('{"completion": "x", "gold": ', r"a\.jsonl:2: not valid JSON"),
        ('["x"]', r"a\.jsonl:2: expected a JSON object, found list"),
        ('{"completion": null, "gold": "3"}', r"a\.jsonl:2: field 'completion' is NoneType; expected text"),
        ('{"completion": "x", "gold": "three"}', r"a\.jsonl:2: the gold answer 'three' is not a number"),
    ],
)
def test_broken_lines_are_named_and_nothing_is_written(tmp_path: Path, line: str, message: str) -> None:
    path = write(tmp_path / "a.jsonl", ROWS[:1])
    path.write_text(path.read_text() + line + "\n")
    out = tmp_path / "out.jsonl"
    out.write_text("earlier")
    with pytest.raises(InputError, match=message):
        grade_file(path, completion="completion", gold="gold", out=out)
    assert out.read_text() == "earlier"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.jsonl", "out.jsonl"]


def test_unusable_paths(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", ROWS)
    with pytest.raises(InputError, match="cannot read .*missing.jsonl"):
        grade_file(tmp_path / "missing.jsonl", completion="completion", gold="gold")
    with pytest.raises(InputError, match="cannot write"):
        grade_file(path, completion="completion", gold="gold", out=path / "below-a-file")
    with pytest.raises(InputError, match="it is a folder"):
        grade_file(path, completion="completion", gold="gold", out=tmp_path)
    (tmp_path / "b.parquet").write_text("no parquet")
    with pytest.raises(InputError, match="not a Parquet file"):
        grade_file(tmp_path / "b.parquet", completion="completion", gold="gold")
    pq.write_table(pa.table({"completion": ["x"]}), tmp_path / "c.parquet")
    with pytest.raises(InputError, match="no field 'gold'; it has completion"):
        grade_file(tmp_path / "c.parquet", completion="completion", gold="gold")
