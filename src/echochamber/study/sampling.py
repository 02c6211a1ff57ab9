"""A quick look at a study's documents and models."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

from echochamber import corpora, formats, rollout, verify
from echochamber.base import InputError, Problem, derive_seed
from echochamber.study.exporting import find_models, load_trained
from echochamber.study.reading import load_study
from echochamber.study.run import Study


def first_examples(study: Study, num: int, *, local_only: bool = False) -> dict[str, list[corpora.Example]]:
    """The first `num` documents of each source; problem sets are not yet excluded.

    Args:
        local_only: leave out sources that need a connection.
    """
    seed = derive_seed(study.config.shared_data_seed, "sources")
    return {
        name: list(itertools.islice(corpora.open_source(source, seed=seed), num))
        for name, source in study.config.sources.items()
        if source.is_local or not local_only
    }


def labeled_examples(path: Path | None, overrides: Sequence[str], num: int) -> list[tuple[str, str]]:
    """(format, solution) pairs: `num` word problems per format and wording, `num` documents per source.

    Args:
        path: a study whose sources are read too.
    """
    sources: list[corpora.BaseSource] = [
        corpora.WordProblemsSource(format=name, style=style, levels=(1, 2, 3, 4))
        for name in formats.format_names()
        for style in ("terse", "rich")
    ]
    if path is not None:
        sources += [source for _, config in load_study(path, overrides) for source in config.sources.values()]
    return [
        (example.format, example.solution)
        for source in sources
        for example in itertools.islice(corpora.open_source(source, seed=0), num)
        if example.format is not None
    ]


# Reads as a gold answer under all rules: where none is known, only the answers count.
_ANY_GOLD = "0"
# Below, logits over the temperature leave the range of float32.
_LOWEST_TEMPERATURE = 1e-6


def sample_completions(
    study: Study,
    question: str,
    *,
    arm: str,
    num_samples: int,
    temperature: float,
    seed: int,
    gold: str | None = None,
    rules: str = "gsm8k",
) -> list[rollout.Completion]:
    """Graded completions of `question` by the first model of the study whose arm has that name.

    Args:
        gold: the correct answer, if it is known; without it, whether an answer is right says nothing.
        rules: by which answers are compared with it.

    Raises:
        InputError: no such arm, it is not trained yet, the question leaves no room in the context, or the
            rules cannot read the gold answer.
    """
    problem = Problem("asked", question, _ANY_GOLD if gold is None else gold, rules=rules)
    verify.get_rules(rules).check_gold(problem.gold)
    if temperature != 0 and not (math.isfinite(temperature) and temperature >= _LOWEST_TEMPERATURE):
        raise InputError(
            f"temperature {temperature:g}: expected 0 (greedy) or a number from {_LOWEST_TEMPERATURE:g} up"
        )
    policy, tokenizer = load_trained(study, find_models(study, arm=arm)[0])
    name = study.config.engine
    engine = rollout.make_engine(name, policy, eos_id=tokenizer.eos_id, pad_id=tokenizer.pad_id)
    sampling = rollout.Sampling(
        temperature=temperature, max_new_tokens=study.config.evaluation.max_new_tokens
    )
    sandbox = study.config.verify
    with verify.Grader(
        tiers=sandbox.tiers, reward_stated=sandbox.reward_stated, unsafe_unconfined=sandbox.unsafe_unconfined
    ) as grader:
        return rollout.ask([problem], engine, tokenizer, grader, sampling, num_samples=num_samples, seed=seed)
