"""A quick look at a study's documents and models."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from echochamber import corpora, formats, rollout
from echochamber.base import InputError, derive_seed
from echochamber.study.config import load_study
from echochamber.study.exporting import find_models, load_trained
from echochamber.study.runner import Study


def first_examples(study: Study, num: int, *, local_only: bool = False) -> dict[str, list[corpora.Example]]:
    """The first `num` documents of each source; problem sets are not yet excluded.

    Args:
        local_only: leave out sources that need a connection.
    """
    seed = derive_seed(study.config.shared_data_seed, "sources")
    return {
        name: list(itertools.islice(corpora.open_source(source, seed=seed, excluded=frozenset()), num))
        for name, source in study.config.sources.items()
        if source.is_local or not local_only
    }


def labelled_examples(path: Path | None, overrides: Sequence[str], num: int) -> list[tuple[str, str]]:
    """(format, solution) pairs: `num` rendered word problems a format and wording, `num` documents a source.

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
        for example in itertools.islice(corpora.open_source(source, seed=0, excluded=frozenset()), num)
        if example.format is not None
    ]


def sample_completions(
    study: Study, question: str, *, arm: str, num_samples: int, temperature: float, seed: int
) -> list[tuple[str, str]]:
    """Completions of `question` by the first model of the study whose arm has that name, with their formats.

    Raises:
        InputError: no such arm, or it is not trained yet.
    """
    policy, tokenizer = load_trained(study, find_models(study, arm=arm)[0])
    prompt = tokenizer.encode_prompt(question)
    room = policy.config.context_length - len(prompt)
    if room < 1:
        raise InputError(
            f"the question has {len(prompt)} tokens and the model's context is "
            f"{policy.config.context_length}; ask a shorter one"
        )
    name = study.config.engine
    engine = rollout.make_engine(name, policy, eos_id=tokenizer.eos_id, pad_id=tokenizer.pad_id)
    sampling = rollout.Sampling(
        temperature=temperature, max_new_tokens=min(room, study.config.evaluation.max_new_tokens)
    )
    completions = engine.generate([prompt], sampling, num_samples=num_samples, seed=seed, step=0)[0]
    texts = [tokenizer.decode(completion.token_ids.tolist()) for completion in completions]
    return [(text, formats.classify(text)) for text in texts]
