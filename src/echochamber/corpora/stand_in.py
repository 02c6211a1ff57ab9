"""Stand-ins for the hub's corpora and benchmarks: small generated files with the same names and fields.

With them, a study that names corpora of the hub can be run from end to end on a laptop without a connection.
Solutions are word problems in each corpus's own format; raw text is arithmetic. Nothing in them was written
by anyone else.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

from echochamber.base import InputError, Problem, explained_write, publish_folder, write_file
from echochamber.corpora.arithmetic import ArithmeticSource
from echochamber.corpora.catalog import BENCHMARKS, CORPORA
from echochamber.corpora.identity import Reserved
from echochamber.corpora.sources import BaseSource, Example, open_source
from echochamber.corpora.tasks import reserve_problems
from echochamber.corpora.word_problems import WordProblemsSource, WordProblemsTask

# One file of each corpus and benchmark, named as on the hub.
FILES: Mapping[str, str] = {
    "tinygsm": "TinyGSM.jsonl",
    "openmathinstruct-1": "correct_solutions/train.jsonl",
    "openmathinstruct-2": "data/train-00000-of-00032.parquet",
    "metamathqa": "MetaMathQA-395K.json",
    "finemath-3plus": "finemath-3plus/train-00000-of-00128.parquet",
    "algebraic-stack": "algebraic-stack/train/agda0000.jsonl.zst",
    "gsm8k": "main/train-00000-of-00001.parquet",
    "gsm8k-train": "main/train-00000-of-00001.parquet",
    "gsm8k-test": "main/test-00000-of-00001.parquet",
    "math-500": "test.jsonl",
    "aime-2022-2024": "data/train-00000-of-00001.parquet",
    "aime-1983-2024": "AIME_Dataset_1983_2024.csv",
    "aime-2024": "aime_2024_problems.parquet",
}
# Large enough for different one-operation problems for every benchmark and corpus.
_MOST = 25
_NOTE = """Generated word problems and arithmetic under the file names and fields of public datasets.
These are stand-ins for trying out studies offline; they hold nothing of the datasets themselves.
"""


def write_rows(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    """Write rows in the format given by the file's name: JSON (lines, array, compressed), Parquet or CSV."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    lines = "".join(json.dumps(row) + "\n" for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), path)
    elif path.suffix == ".json":
        write_file(path, json.dumps(list(rows), indent=1))
    elif path.suffix == ".csv":
        text = io.StringIO()
        table = csv.DictWriter(text, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
        write_file(path, text.getvalue())
    elif path.suffix in (".zst", ".gz"):
        codec = {".zst": "zstd", ".gz": "gzip"}[path.suffix]
        with pa.OSFile(str(path), "wb") as raw, pa.CompressedOutputStream(raw, codec) as stream:
            stream.write(lines.encode())
    else:
        write_file(path, lines)
    return path


def write_stand_ins(folder: Path, *, documents: int = 2000, problems: int = 100, seed: int = 0) -> list[Path]:
    """Write every corpus and benchmark of the catalog below `folder`, in the layout of a local mirror.

    Args:
        documents: number of documents per corpus.
        problems: number of problems per benchmark; no training document contains one of them.

    Returns:
        The files written.

    Raises:
        InputError: the folder exists and is not empty.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise InputError(f"{folder} is not empty; give a folder that does not exist yet")
    partial = folder.with_name(folder.name + ".partial")
    with explained_write(folder):
        names = ("gsm8k-test", "math-500", "aime-2022-2024", "aime-1983-2024", "aime-2024", "gsm8k-train")
        levels = {"gsm8k-test": (1,), "gsm8k-train": (1,)}
        drawn = reserve_problems(
            {
                name: WordProblemsTask(num_problems=problems, levels=levels.get(name, (1, 2)), largest=_MOST)
                for name in names
            },
            seed=seed,
        )
        reserved = Reserved.of(problem for name in names[:-1] for problem in drawn[name])
        written = [
            write_rows(partial / BENCHMARKS[name].repo / FILES[name], _problem_rows(name, drawn[name]))
            for name in names
        ]
        for name in CORPORA:
            if name == "gsm8k":
                continue  # its training file is the benchmark `gsm8k-train`, written above
            found = open_source(_source(name), seed=seed, reserved=reserved)
            rows = _document_rows(name, list(islice(found, documents)))
            written.append(write_rows(partial / CORPORA[name].repo / FILES[name], rows))
        write_file(partial / "README.txt", _NOTE)
        if folder.exists():
            folder.rmdir()
        publish_folder(partial, folder)
    return [folder / path.relative_to(partial) for path in written]


def _source(name: str) -> BaseSource:
    label = CORPORA[name].format
    if label is None:
        return ArithmeticSource(largest=_MOST)
    return WordProblemsSource(format=label, levels=(1, 2), largest=_MOST)


def _document_rows(name: str, examples: Sequence[Example]) -> list[dict[str, object]]:
    card = CORPORA[name]
    question = {} if card.question is None else {card.question: ""}
    return [
        {**dict.fromkeys(question, example.question), card.solution: example.solution} for example in examples
    ]


def _problem_rows(name: str, problems: Sequence[Problem]) -> list[dict[str, object]]:
    card = BENCHMARKS[name]
    rows = []
    for problem in problems:
        # GSM8K's answer field holds the whole solution.
        answer = problem.references["gsm8k"] if card.answer_pattern else problem.gold
        row: dict[str, object] = {card.question: problem.question, card.answer: answer}
        if card.level is not None:
            row[card.level] = problem.level
        if card.family is not None:
            row[card.family] = problem.family
        rows.append(row)
    return rows
