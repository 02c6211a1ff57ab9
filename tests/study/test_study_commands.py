"""Commands over a finished study: what they print, and what they refuse in one sentence."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

from echochamber.base import Problem
from echochamber.cli.main import run_cli
from echochamber.rollout import Completion, SampledTokens
from echochamber.study import Study
from echochamber.verify import Outcome, Verdict


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = run_cli(list(arguments))
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return code, captured.out if code == 0 else captured.err


@pytest.fixture
def place(finished: Study) -> list[str]:
    return ["--runs", str(finished.folder.parent)]


def columns(table: str) -> list[str]:
    return next(line for line in table.splitlines() if "protocol" in line).split()


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        (["--num-samples", "4", "--k", "4"], ["pass@1", "pass@4", "maj@4"]),
        (["--num-samples", "4", "--k", "1", "--k", "2", "--k", "4"], ["pass@1", "pass@2", "pass@4", "maj@2"]),
        (["--k", "1", "--k", "2"], ["pass@1", "pass@2", "maj@2"]),
        (["--num-samples", "0", "--k", "1"], ["pass@1"]),
        (["--num-samples", "3"], ["pass@1", "pass@3", "maj@3"]),
    ],
)
def test_every_k_asked_for_is_printed(
    tiny_file: Path, place: list[str], capsys: pytest.CaptureFixture[str], asked: list[str], shown: list[str]
) -> None:
    code, said = answer(capsys, "evaluate", str(tiny_file), "--num-problems", "2", *asked, *place)
    assert code == 0
    assert set(shown) <= set(columns(said))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--k", "16"], "pass_at 16 needs at least as many samples, but num_samples is 2"),
        (["--num-samples", "0", "--k", "4"], "pass_at 4 needs at least as many samples"),
        (["--k", "0"], "each at least 1"),
        (["--num-problems", "5000"], "task 'test' has 12 problems; set num-problems to at most 12"),
        (["--temperature", "nan"], "temperature: Input should be"),
        (["--temperature", "1e-300"], "temperature: Input should be"),
        (["--arm", "nobody"], "has no arm 'nobody': expected one of base, grpo"),
        (["--benchmark", "tset"], "has no task 'tset'"),
    ],
)
def test_what_evaluate_refuses(
    tiny_file: Path, place: list[str], capsys: pytest.CaptureFixture[str], asked: list[str], said: str
) -> None:
    code, error = answer(capsys, "evaluate", str(tiny_file), *asked, *place)
    assert code == 2
    assert said in error
    assert error.count("\n") == 1


def _completion(text: str, verdict: Verdict) -> Completion:
    sampled = SampledTokens(np.array([3, 0], np.int32), np.array([-0.5, -0.5], np.float32), "stop", 0)
    return Completion(Problem("asked", "3 x 4?", "12"), [1], 0, sampled, text, verdict)


COMPLETIONS = [
    _completion("def f():\n    return 3 * 4", Verdict("tinygsm", Outcome.correct, "12", 1.0)),
    _completion("It is \\boxed{13}.", Verdict("boxed", Outcome.wrong, "13", 0.0)),
    _completion("def f(): return 1 / 0", Verdict("tinygsm", Outcome.runtime_error, None, 0.0)),
    _completion("\x1b[2J", Verdict("none", Outcome.no_answer, None, 0.0)),
]


def test_sample_shows_value_and_verdict(
    tiny_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("echochamber.study.sample_completions", lambda *_, **__: COMPLETIONS)
    _, plain = answer(capsys, "sample", str(tiny_file), "3 x 4?")
    assert re.findall("--- .*", plain) == [
        "--- tinygsm: answer 12",
        "--- boxed: answer 13",
        "--- tinygsm: no answer (runtime_error)",
        "--- none: no answer (no_answer)",
    ]
    assert "\x1b" not in plain
    _, graded = answer(capsys, "sample", str(tiny_file), "3 x 4?", "--gold", "12")
    assert "--- tinygsm: answer 12 (correct)" in graded
    assert "--- boxed: answer 13 (wrong)" in graded
    assert graded.endswith("1 of 4 correct\n")


def test_sample_grades_what_the_model_writes(
    tiny_file: Path, place: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = answer(capsys, "sample", str(tiny_file), "What is 2?", "--gold", "2", *place)
    assert code == 0
    assert re.search(r"\d of 4 correct", said)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--gold", "seven"], "the gold answer 'seven' is not a number"),
        (["--rules", "gms8k"], "unknown rules 'gms8k'"),
        (["--temperature", "1e-300"], "expected 0 (greedy) or at least 1e-06"),
        (["--temperature", "inf"], "expected 0 (greedy) or at least 1e-06"),
    ],
)
def test_what_sample_refuses(
    tiny_file: Path, place: list[str], capsys: pytest.CaptureFixture[str], asked: list[str], said: str
) -> None:
    code, error = answer(capsys, "sample", str(tiny_file), "What is 2?", *asked, *place)
    assert code == 2
    assert said in error


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--executor", "kubernetes"], "unknown executor 'kubernetes': expected one of local, ray, slurm"),
        (["--track", "wanb"], "unknown tracker 'wanb': expected one of"),
        (["--set", "track=[wanb]"], "unknown tracker 'wanb': expected one of"),
        (["--slurm-cluster", "here"], "--slurm-cluster here: expected slurm or local"),
        (["--set", "resources.arms.cpus=1"], "resources.arms: no kind of stage has that name"),
        (["--set", "seed=4"], "Give this run its own folder with --set study=tiny-seed4"),
        (["--set", "mixtures.even.shares.code=0.6"], "the shares sum to 1.1; expected 1"),
        (["--set", "mixtures.even.shares.code=0.4"], "the shares sum to 0.9; expected 1"),
    ],
)
def test_a_dry_run_refuses_what_the_run_would(
    tiny_file: Path, place: list[str], capsys: pytest.CaptureFixture[str], asked: list[str], said: str
) -> None:
    for dry in (["--dry-run"], []):
        code, error = answer(capsys, "run", str(tiny_file), *dry, *asked, *place)
        assert code == 2
        assert said in error


@pytest.mark.parametrize(
    ("asked", "package", "extra"),
    [
        (["--executor", "ray"], "ray", "ray"),
        (["--executor", "slurm"], "submitit", "slurm"),
        (["--track", "tensorboard"], "tensorboard", "track"),
    ],
)
def test_a_dry_run_says_which_extra_is_missing(
    tiny_file: Path, place: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    asked: list[str], package: str, extra: str,
) -> None:  # fmt: skip
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == package else find(name, *rest)
    )
    code, error = answer(capsys, "run", str(tiny_file), "--dry-run", *asked, *place)
    assert code == 2
    assert f"pip install 'echochamber[{extra}]'" in error
