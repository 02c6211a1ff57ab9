"""Corpora and benchmarks of the hub by name: where their files are and which fields they have.

Token counts are for planning only. They are published figures where there
are any, else the size of the text over 3.2 bytes per token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Corpus:
    """A training corpus on the hub.

    Attributes:
        files: patterns; the first one that matches any file is used.
        question: field of the question; None for raw text.
        format: answer format of its solutions.
        tokens: approximate number, for planning.
        revision: commit that is read unless a study says otherwise; None reads the newest and pins it.
    """

    repo: str
    files: tuple[str, ...]
    question: str | None
    solution: str
    format: str | None
    license: str
    tokens: int
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class Benchmark:
    """An evaluation or post-training set on the hub.

    Attributes:
        answer_pattern: regular expression whose group is the gold answer inside its field.
        rules: how answers are compared with the gold answer.
        level, family: fields of difficulty and subject.
    """

    repo: str
    files: tuple[str, ...]
    question: str
    answer: str
    rules: str
    license: str
    answer_pattern: str | None = None
    level: str | None = None
    family: str | None = None
    revision: str | None = None


CORPORA: Mapping[str, Corpus] = {
    "tinygsm": Corpus(
        repo="TinyGSM/TinyGSM",
        files=("*.jsonl*", "*.parquet", "*.json"),
        question="question",
        solution="code",
        format="tinygsm",
        license="MIT",
        tokens=1_800_000_000,  # Liu et al. 2023, arXiv:2312.09241
    ),
    "openmathinstruct-1": Corpus(
        repo="nvidia/OpenMathInstruct-1",
        files=("correct_solutions/*.jsonl",),
        question="question",
        solution="generated_solution",
        format="llm_code",
        license="NVIDIA License",
        tokens=480_000_000,  # 1.53 GB of JSON
        revision="2e123e467011ef2e489422b74ba24fd65d0024cf",
    ),
    "openmathinstruct-2": Corpus(
        repo="nvidia/OpenMathInstruct-2",
        files=("data/train-*.parquet", "data/train/*.parquet"),
        question="problem",
        solution="generated_solution",
        format="boxed",
        license="CC-BY-4.0",
        tokens=5_300_000_000,  # 17.1 GB of JSON
    ),
    "metamathqa": Corpus(
        repo="meta-math/MetaMathQA",
        files=("MetaMathQA-395K.json",),
        question="query",
        solution="response",
        format="boxed",
        license="MIT",
        tokens=100_000_000,  # 396 MB of JSON, of which the original questions are not used
        revision="aa4f34d3d2d3231299b5b03d9b3e5a20da45aa18",
    ),
    "finemath-3plus": Corpus(
        repo="HuggingFaceTB/finemath",
        files=("finemath-3plus/*.parquet", "finemath-3plus/train/*.parquet"),
        question=None,
        solution="text",
        format=None,
        license="ODC-By 1.0",
        tokens=34_000_000_000,  # dataset card
    ),
    "algebraic-stack": Corpus(
        repo="EleutherAI/proof-pile-2",
        # The repository's loading script no longer runs, so the files are read directly.
        files=("algebraic-stack/train/*.jsonl.zst", "algebraic-stack/train/*.jsonl.gz"),
        question=None,
        solution="text",
        format=None,
        license="various, per file",
        tokens=11_000_000_000,  # Azerbayev et al. 2023, arXiv:2310.10631
    ),
    "gsm8k": Corpus(
        repo="openai/gsm8k",
        files=("main/train-*.parquet", "main/train.jsonl"),
        question="question",
        solution="answer",
        format="gsm8k",
        license="MIT",
        tokens=1_300_000,  # 4.2 MB of JSON
    ),
}

BENCHMARKS: Mapping[str, Benchmark] = {
    "gsm8k-train": Benchmark(
        repo="openai/gsm8k", files=("main/train-*.parquet",), question="question", answer="answer",
        answer_pattern=r"#### *(.+)", rules="gsm8k", license="MIT",
    ),
    "gsm8k-test": Benchmark(
        repo="openai/gsm8k", files=("main/test-*.parquet",), question="question", answer="answer",
        answer_pattern=r"#### *(.+)", rules="gsm8k", license="MIT",
    ),
    "math-500": Benchmark(
        repo="HuggingFaceH4/MATH-500", files=("test.jsonl",), question="problem", answer="answer",
        rules="math", license="MIT", level="level", family="subject",
    ),
    "aime-2022-2024": Benchmark(
        repo="AI-MO/aimo-validation-aime", files=("data/train-*.parquet",), question="problem",
        answer="answer", rules="aime", license="Apache-2.0",
    ),
    "aime-1983-2024": Benchmark(
        repo="gneubig/aime-1983-2024", files=("*.csv",), question="Question", answer="Answer",
        rules="aime", license="CC0-1.0",
    ),
    "aime-2024": Benchmark(
        repo="Maxwell-Jia/AIME_2024", files=("*.parquet", "*.jsonl"), question="Problem", answer="Answer",
        rules="aime", license="MIT",
    ),
}  # fmt: skip
