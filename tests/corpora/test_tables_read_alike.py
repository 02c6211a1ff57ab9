"""One table of files: `grade`, a source and a task read each of them alike, or refuse it alike."""

from __future__ import annotations

import bz2
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from echochamber.base import InputError
from echochamber.corpora import open_source
from echochamber.corpora.local_files import JsonlSource, JsonlTask
from echochamber.verify import grade_file
from echochamber.verify.completion_files import _chunks

ROW = b'{"c": "\\\\boxed{7}", "g": "7"}\n'
OK = [("\\boxed{7}", "7")]
BOM = b"\xef\xbb\xbf"
LONG = "9" * 200_000
DIGITS, DECIMAL = "123456789012345678901", "0.1000000000000000000001"
CSV = b"c,g\n\\boxed{7},7\n"


def _zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return bytes(sink.getvalue())


def _row(gold: str) -> bytes:
    return b'{"c": "\\\\boxed{7}", "g": ' + gold.encode() + b"}\n"


def _parquet(**columns: pa.Array | list) -> bytes:
    return _parquet_table(pa.table({"c": ["\\boxed{7}"], **columns}))


def _parquet_table(table: pa.Table, **options: object) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    return bytes(sink.getvalue())


def _array(type: pa.DataType, *values: object) -> pa.Array:
    return pa.array(values, type)


def _bad_utf8() -> pa.Array:
    return pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(b"\x00\x00\x00\x00\x02\x00\x00\x00"), pa.py_buffer(b"7\xff")]
    )


READ: dict[str, tuple[str, bytes, list[tuple[str, str]]]] = {
    "plain": ("a.jsonl", ROW, OK),
    "no line end": ("a.jsonl", ROW.rstrip(), OK),
    "empty": ("a.jsonl", b"", []),
    "only blank lines": ("a.jsonl", b"\n \n\r\n", []),
    "byte-order mark": ("a.jsonl", BOM + ROW, OK),
    "only a byte-order mark": ("a.jsonl", BOM, []),
    "Windows line ends": ("a.jsonl", ROW.replace(b"\n", b"\r\n") * 2, OK * 2),
    "blank lines": ("a.jsonl", b"\n" + ROW + b"\n  \n" + ROW + b"\n", OK * 2),
    "gzip": ("a.jsonl.gz", gzip.compress(ROW) + gzip.compress(ROW), OK * 2),
    "empty gzip": ("a.jsonl.gz", b"", []),
    "bzip2": ("a.jsonl.bz2", bz2.compress(BOM + ROW), OK),
    "two zstandard frames": ("a.jsonl.zst", _zstd(ROW) + _zstd(ROW), OK * 2),
    "upper case": ("A.JSONL", ROW, OK),
    "no suffix": ("rows", ROW, OK),
    "ndjson": ("a.ndjson", ROW, OK),
    "array": ("a.json", b"[" + ROW + b",\n" + ROW + b"]\n", OK * 2),
    "array with a byte-order mark": ("a.json", BOM + b" [" + ROW + b"]", OK),
    "empty array": ("a.json", b"[]", []),
    "empty json": ("a.json", b"", []),
    "lines named json": ("a.json", ROW + b"\n" + ROW, OK * 2),
    "a spread-out object": ("a.json", json.dumps(json.loads(ROW), indent=2).encode(), OK),
    "array in gzip": ("a.json.gz", gzip.compress(b"[" + ROW + b"]"), OK),
    "csv": ("a.csv", CSV, OK),
    "csv of Windows": ("a.csv", BOM + CSV.replace(b"\n", b"\r\n") + b"\r\n", OK),
    "csv in gzip": ("a.csv.gz", gzip.compress(CSV), OK),
    "tsv": ("a.tsv", CSV.replace(b",", b"\t"), OK),
    "a long csv field": ("a.csv", f"c,g\n{LONG},7\n".encode(), [(LONG, "7")]),
    "a line end in a csv field": ("a.csv", b'c,g\n"a\nb, ""c""",7\n\n', [('a\nb, "c"', "7")]),
    "a long whole number": ("a.jsonl", _row(DIGITS), [("\\boxed{7}", DIGITS)]),
    "a very long whole number": ("a.jsonl", _row("1" * 5000), [("\\boxed{7}", "1" * 5000)]),
    "a number as it is spelled": ("a.jsonl", _row(DECIMAL), [("\\boxed{7}", DECIMAL)]),
    "a number in an array": ("a.json", b"[" + _row("-7.50") + b"]", [("\\boxed{7}", "-7.50")]),
    "a field that nobody reads": ("a.jsonl", b'{"c": "x", "g": "7", "other": [null, NaN]}\n', [("x", "7")]),
    "text beyond ASCII": ("a.jsonl", '{"c": "\\ud83d\\ude00 é", "g": "7"}'.encode(), [("😀 é", "7")]),
    "parquet": ("a.parquet", _parquet(g=["7"]), OK),
    "float32": ("a.parquet", _parquet(g=_array(pa.float32(), 0.1)), [("\\boxed{7}", "0.1")]),
    "float16": ("a.parquet", _parquet(g=_array(pa.float16(), 0.5)), [("\\boxed{7}", "0.5")]),
    "float64": ("a.parquet", _parquet(g=_array(pa.float64(), 0.1)), [("\\boxed{7}", "0.1")]),
    "uint64": ("a.parquet", _parquet(g=_array(pa.uint64(), 2**64 - 1)), [("\\boxed{7}", str(2**64 - 1))]),
    "categories": ("a.parquet", _parquet(g=pa.array(["7"]).dictionary_encode()), OK),
    "no rows": ("a.parquet",
                _parquet_table(pa.table({name: pa.array([], pa.string()) for name in "cg"})), []),
}  # fmt: skip

REFUSED: dict[str, tuple[str, bytes, str]] = {
    "NaN": ("a.jsonl", ROW + _row("NaN"), r"a\.jsonl:2: field 'g' is nan"),
    "Infinity": ("a.json", b"[" + _row("-Infinity") + b"]", r"a\.json, row 1: field 'g' is -inf"),
    "null": ("a.jsonl", ROW + b"\n" + _row("null"), r"a\.jsonl:3: field 'g' is NoneType"),
    "a list": ("a.jsonl", _row("[7]"), r"a\.jsonl:1: field 'g' is list"),
    "true": ("a.jsonl", _row("true"), r"a\.jsonl:1: field 'g' is bool"),
    "half a surrogate pair": ("a.jsonl", _row('"7\\ud83d"'), r"a\.jsonl:1: field 'g' holds \\ud83d, half"),
    "invalid UTF-8": ("a.jsonl", ROW + b'{"c": "\xe9", "g": "7"}\n', r"a\.jsonl:2: not UTF-8 text.*0xe9"),
    "UTF-16": ("a.jsonl", ROW.decode().encode("utf-16"), r"a\.jsonl:1: not UTF-8"),
    "invalid UTF-8 in an array": ("a.json", b'[{"c": "\xe9"}]', r"a\.json, after row 0: not UTF-8"),
    "invalid UTF-8 in csv": ("a.csv", CSV + b"\xe9,7\n", r"a\.csv:3: not UTF-8"),
    "a key given twice": ("a.jsonl", b'{"c": "x", "g": 7, "g": 8}', r"a\.jsonl:1: .*'g' is given twice"),
    "no such field": ("a.jsonl", b'{"c": "x", "gg": 7}', r"a\.jsonl:1: no field 'g'; it has c, gg"),
    "broken": ("a.jsonl", ROW + b'{"c": \n', r"a\.jsonl:2: not valid JSON"),
    "an array on a line": ("a.jsonl", b"[1]\n", r"a\.jsonl:1: expected a JSON object, found list"),
    "deep": ("a.jsonl", b'{"c":' + b"[" * 100_000, r"a\.jsonl:1: not valid JSON"),
    "an array cut short": ("a.json", b"[" + ROW, r"a\.json: the list ends after row 1 without '\]'"),
    "a row cut short": ("a.json", b"[" + ROW + b', {"c": "x', r"a\.json, row 2: not valid JSON"),
    "a comma too many": ("a.json", b"[" + ROW + b",]", r"a\.json, row 2: .*without a row after it"),
    "a comma too few": ("a.json", b"[" + ROW * 2 + b"]", r"a\.json, row 2: .*no comma"),
    "text behind the array": ("a.json", b"[" + ROW + b"] x", r"a\.json, after row 1: not valid JSON"),
    "numbers in an array": ("a.json", b"[1, 2]", r"a\.json, row 1: expected a JSON object, found a number"),
    "a gzip file cut short": ("a.jsonl.gz", gzip.compress(ROW * 9)[:-20], r"cannot read .*damaged"),
    "no gzip file": ("a.jsonl.gz", ROW, r"cannot read .*damaged"),
    "a zstandard file cut short": ("a.jsonl.zst", _zstd(ROW * 9)[:-9], r"cannot read .*damaged"),
    "csv: a row too long": ("a.csv", CSV + b"x,7,8\n", r"a\.csv, row 2 \(line 3\): 3 fields under 2"),
    "csv: a row too short": ("a.csv", CSV + b"x\n", r"a\.csv, row 2 \(line 3\): 1 fields under 2"),
    "csv: an open quote": ("a.csv", CSV + b'"x,7\n', r"a\.csv, row 2 .*not valid CSV"),
    "csv: a column twice": ("a.csv", b"c,g,g\nx,7,8\n", r"a\.csv: the column 'g' occurs twice"),
    "csv: no such column": ("a.csv", b"c,h\nx,7\n", r"a\.csv: no field 'g'; it has c, h"),
    "parquet: null": ("a.parquet", _parquet_table(pa.table({"c": ["x", "y"], "g": ["7", None]})),
                      r"a\.parquet, row 2: field 'g' is NoneType"),
    "parquet: NaN": ("a.parquet", _parquet(g=_array(pa.float32(), float("nan"))), r"row 1: field 'g' is nan"),
    "parquet: a column twice": ("a.parquet",
                                _parquet_table(pa.table([["x"], ["7"], ["8"]], names=["c", "g", "g"])),
                                r"a\.parquet: the column 'g' occurs twice"),
    "parquet: no such column": ("a.parquet", _parquet(h=["7"]), r"a\.parquet: no field 'g'; it has c, h"),
    "parquet: invalid UTF-8": ("a.parquet", _parquet(g=_bad_utf8()), r"row 1: field 'g' is not UTF-8"),
    "parquet: cut short": ("a.parquet", _parquet(g=["7"])[:-9], r"cannot read .*not a Parquet file"),
    "parquet: empty": ("a.parquet", b"", r"cannot read .*not a Parquet file"),
    "parquet in gzip": ("a.parquet.gz", b"", r"unknown kind of file"),
    "another kind of file": ("a.xlsx", b"", r"unknown kind of file; expected one of \.jsonl"),
}  # fmt: skip


def _by_grade(path: Path) -> list[tuple[str, str]]:
    return [
        pair
        for _, completions, golds in _chunks(path, "c", "g")
        for pair in zip(completions, golds, strict=True)
    ]


def _by_source(path: Path) -> list[tuple[str, str]]:
    source = JsonlSource(path=path, question="c", solution="g")
    return [(e.question or "", e.solution) for e in open_source(source, seed=0)]


@pytest.mark.parametrize("read", [_by_grade, _by_source])
@pytest.mark.parametrize("name", READ)
def test_what_can_be_read_is_read_alike(
    name: str, read: Callable[[Path], list[tuple[str, str]]], tmp_path: Path
) -> None:
    file, content, expected = READ[name]
    (tmp_path / file).write_bytes(content)
    assert read(tmp_path / file) == expected


def _grade(path: Path) -> object:
    return grade_file(path, completion="c", gold="g")


def _draw(path: Path) -> object:
    return JsonlTask(path=path, question="c", answer="g").draw(seed=0, taken=frozenset())


@pytest.mark.parametrize("read", [_grade, _by_source, _draw])
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_alike(
    name: str, read: Callable[[Path], object], tmp_path: Path
) -> None:
    file, content, message = REFUSED[name]
    (tmp_path / file).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path / file)
    assert "\n" not in str(caught.value)


def test_a_long_json_file_is_read_in_pieces(tmp_path: Path) -> None:
    rows = [{"c": str(i), "g": "é" * (3_000_000 if i == 2 else 300_000)} for i in range(5)]
    for text in (json.dumps(rows, ensure_ascii=False), "\n".join(json.dumps(row) for row in rows)):
        (tmp_path / "a.json").write_text(text)
        assert [len(gold) for _, gold in _by_source(tmp_path / "a.json")] == [len(row["g"]) for row in rows]
    broken = '[{"c": oops}, ' + text
    (tmp_path / "a.json").write_text(broken)
    with pytest.raises(InputError, match="row 1: not valid JSON"):
        _by_source(tmp_path / "a.json")
