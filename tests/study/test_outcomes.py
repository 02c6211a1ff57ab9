"""Endpoints are checked before a run; their outcomes stand in the summary and on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from echochamber.base import InputError, read_json
from echochamber.cli.main import run_cli
from echochamber.study import Study, load_study


@pytest.mark.parametrize(
    ("endpoint", "message"),
    [
        ({"arm": "gprp"}, r"endpoints.0.arm: no arm is named 'gprp'"),
        ({"arm": "grpo", "against": "ppo"}, r"endpoints.0.against: no arm is named 'ppo'"),
        ({"arm": "grpo", "size": "pcio"}, r"endpoints.0.size: no size is named 'pcio'.*Did you mean 'pico'"),
        ({"arm": "grpo", "mixture": "evn"}, r"no mixture is named 'evn'; this study has even"),
        ({"arm": "grpo", "against": {"mixture": "odd"}}, r"endpoints.0.against.mixture: no mixture is named"),
        ({"arm": "grpo", "minus": {"size": "1b"}}, r"endpoints.0.minus.size: no size is named '1b'"),
        ({"arm": "grpo", "benchmark": "tst"}, r"no benchmark is named 'tst'"),
        ({"arm": "grpo", "metric": "share", "format": "boxd"}, r"no format is named 'boxd'.*'boxed'"),
        ({"arm": "grpo", "sweep": "kl=1"}, r"no point of the sweep is named 'kl=1'; this study has none"),
        ({"arm": "grpo", "step": 999}, r"endpoints.0.step: 999: grpo is not evaluated then.*are 0, "),
        ({"arm": "grpo", "k": 99}, r"endpoints.0.k: 99: more than the samples per problem"),
        ({"arm": "grpo", "temperature": 0.3}, r"samples are drawn at evaluation.temperature"),
        ({"arm": "grpo", "temperature": 0, "k": 2}, r"greedily there is one"),
        ({"arm": "grpo", "step": "first_pass"}, r"one pass over the .* questions of train ends at step"),
    ],
)
def test_an_endpoint_about_what_is_not_measured_is_refused_before_the_run(
    tiny_file: Path, endpoint: dict[str, object], message: str
) -> None:
    assignment = f"endpoints={json.dumps([{'name': 'x', **endpoint}])}"
    with pytest.raises(InputError, match=message):
        load_study(tiny_file, [assignment])


def test_an_endpoint_may_name_any_cell_that_is_measured(tiny_file: Path) -> None:
    stated = [
        {"name": "a", "arm": "grpo", "size": "pico", "mixture": "even", "step": "last", "temperature": 0},
        {"name": "b", "arm": "grpo", "metric": "share", "format": "boxed", "against": {"format": "none"}},
        {"name": "c", "arm": "base", "metric": "winner", "forecast": "most frequent"},
    ]
    ((_, study),) = load_study(tiny_file, [f"endpoints={json.dumps(stated)}"])
    assert [endpoint.name for endpoint in study.endpoints] == ["a", "b", "c"]


def test_the_summary_holds_what_the_command_prints(
    finished: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = read_json(finished.folder / "summary.json")
    assert summary["questions"] == {"test": 12, "train": 16}
    assert run_cli(["findings", str(finished.folder), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == {key: summary[key] for key in ("endpoints", "findings")}
    assert {f["verdict"] for f in printed["findings"]} == {"not testable"}  # one seed
    assert run_cli(["findings", str(finished.folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("not testable: ") for line in lines) == len(printed["findings"])
    assert any("statement of Zhao et al." in line for line in lines)


def test_a_run_from_before_outcomes_were_kept_still_opens(copy: Study) -> None:
    path = copy.folder / "summary.json"
    old = {key: value for key, value in read_json(path).items() if key in ("study", "rows", "seconds")}
    path.write_text(json.dumps(old))
    assert run_cli(["findings", str(copy.folder)]) == 0


def test_no_run_is_the_users_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["findings", "no-such-run"]) == 2
    assert "no-such-run" in capsys.readouterr().err
