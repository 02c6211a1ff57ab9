"""Mistakes that only the whole study file shows are refused before the run, in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from echochamber.base import InputError
from echochamber.study import load_study, open_study


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "evaluation.benchmarks=[tset]",
            r"no task is named 'tset'; this study has test, train. Did you mean 'test'",
        ),
        ("arms.grpo.task=trian", r"arms.grpo.task: no task is named 'trian'.*Did you mean 'train'"),
        ("arms.grpo.task=test", r"'test' is an evaluation set"),
        ("arms.grpo.start_from=ppo", r"no other arm is named 'ppo'"),
        ("mixtures.even.shares={code: 0.5, porse: 0.5}", r"no source is named 'porse'.*Did you mean 'prose'"),
        ("sources.code.format=tinygms", r"unknown format 'tinygms'.*Did you mean 'tinygsm'"),
        ("model.sizes=[picco]", r"unknown model size 'picco'.*Did you mean 'pico'"),
        ("pretrain.sequence_length=128", r"longer than model.context_length 96"),
        ("seed=[1, 1]", r"list of different ones"),
        ("arms.grpo.algorithm=gropo", r"gropo"),
        ("modules=[nowhere.py]", r"nowhere.py is not a Python file"),
    ],
)
def test_mistakes_are_sentences(tiny_file: Path, change: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_study(tiny_file, [change])


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
        ({"arm": "grpo", "step": 999}, r"endpoints.0.step: 999: grpo is not evaluated at that step.*are 0, "),
        ({"arm": "grpo", "k": 99}, r"endpoints.0.k: 99: more than the samples per problem"),
        ({"arm": "grpo", "temperature": 0.3}, r"samples are drawn at evaluation.temperature"),
        ({"arm": "grpo", "temperature": 0, "k": 2}, r"greedy decoding gives one"),
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
