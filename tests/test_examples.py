"""The files of examples/ run, and do what they say."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import echochamber
from echochamber.formats import classify

EXAMPLES = Path(__file__).parents[1] / "examples"


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_study_in_one_file_is_short_and_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert len((EXAMPLES / "grpo_from_scratch.py").read_text(encoding="utf-8").splitlines()) <= 150
    study = loaded("grpo_from_scratch")
    first, *_, last = study.main(tokens=60_000, steps=2)
    assert first != last
    assert set(first) == {*study.FORMATS, "right"}
    assert all(0 <= value <= 1 for value in first.values())
    printed = capsys.readouterr().out
    assert "pretraining step    0" in printed and "RL step   2" in printed


@pytest.mark.long
def test_one_format_disappears() -> None:
    """At its own size, as its first sentence promises; measured: 31 to 2 %, and 32 to 54 % right.

    Another kind of CPU rounds differently, which amounts to another seed, so the bounds leave room.
    """
    study = loaded("grpo_from_scratch")
    first, *_, last = study.main(tokens=1_000_000, steps=40)
    assert min(first[name] for name in study.FORMATS) > 0.1
    lost = min(study.FORMATS, key=last.__getitem__)
    assert last[lost] < 0.1 and last[lost] < first[lost] / 2
    assert last["right"] > first["right"] + 0.1


def test_a_study_brings_parts_of_its_own(tmp_path: Path) -> None:
    """In a process of its own, since what it registers stays."""
    command = [sys.executable, "-m", "echochamber"]
    study, runs = str(EXAMPLES / "mine.yaml"), str(tmp_path)
    subprocess.run([*command, "run", study, "--runs", runs], check=True, capture_output=True, timeout=300)
    result = echochamber.load(tmp_path / "mine")
    summary = json.loads((result.folder / "summary.json").read_text(encoding="utf-8"))
    assert {row["algorithm"] for row in summary["rows"]} == {"base", "grpo", "cispo"}
    assert {row["benchmark"] for row in summary["rows"]} == {"test", "twice"}
    assert "answer_line" in summary["rows"][0]["share"]
    assert any(finding["key"] == "no-harm" for finding in summary["findings"])
    page = result.report.read_text(encoding="utf-8")
    assert "A figure of mine" in page and "No arm ends with a lower pass@1" in page

    # Drawn again from the records alone, with and without the file.
    report = [*command, "report", "mine", "--runs", runs]
    subprocess.run(report, check=True, capture_output=True, timeout=120)
    assert "A figure of mine" not in result.report.read_text(encoding="utf-8")
    brought = [*report, "--module", str(EXAMPLES / "mine.py")]
    subprocess.run(brought, check=True, capture_output=True, timeout=120)
    assert "A figure of mine" in result.report.read_text(encoding="utf-8")


def test_a_format_of_ones_own_reads_what_it_writes() -> None:
    """By the class alone, so that other tests know only the package's formats."""
    source = (EXAMPLES / "mine.py").read_text(encoding="utf-8").split("@register_task")[0]
    names: dict[str, object] = {"__name__": "mine"}
    exec(compile(source, "mine.py", "exec"), names)
    line = names["AnswerLine"]()  # type: ignore[operator]
    assert line.extract("3 + 4 = 7\nAnswer: 7").answer == "7"
    assert line.detect("Answer: 7") and not line.detect("Answer: 7\nand more")
    assert classify("Answer: 7") == "none"
