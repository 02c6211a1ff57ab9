"""Contamination: which evaluation problems a training source contains, word for word or in part.

Questions are reduced to lower-case words and numbers first. A problem counts
as *exact* when a training question has the same words, and as *13-gram* when
any 13 words in a row of its question stand in a training document (the
measure of Brown et al. 2020, arXiv:2005.14165, appendix C). Generated sources
are compared by problem key instead: templates share 13-grams by design.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from echochamber.base import InputError, Problem, digest
from echochamber.corpora.sources import BaseSource, Example, text_key, words_of
from echochamber.corpora.tasks import BaseTask

NGRAM = 13

# A source that holds this share of an evaluation set word for word is that set.
_SAME_SET_SHARE = 0.5

Gram = tuple[str, ...]


def grams(words: Sequence[str]) -> Iterator[Gram]:
    """Every run of 13 words."""
    return zip(*(words[i:] for i in range(NGRAM)), strict=False)


@dataclass(slots=True)
class Hits:
    """Numbers of the evaluation problems that a source contains.

    Attributes:
        exact: problems whose whole question is a training question (or whose key is).
        partial: problems that share 13 words in a row with a training document.
    """

    exact: set[int] = field(default_factory=set)
    partial: set[int] = field(default_factory=set)


def _all(hits: Hits) -> set[int]:
    return hits.exact | hits.partial


class _EvaluationSet:
    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = problems
        self.by_key: dict[str, list[int]] = {}
        self.by_text: dict[str, list[int]] = {}
        self.by_gram: dict[Gram, list[int]] = {}
        self.too_short = 0
        for index, problem in enumerate(problems):
            self.by_key.setdefault(problem.key, []).append(index)
            self.by_text.setdefault(text_key(problem.question), []).append(index)
            words = words_of(problem.question)
            self.too_short += len(words) < NGRAM
            for gram in grams(words):
                self.by_gram.setdefault(gram, []).append(index)


class OverlapIndex:
    """The evaluation sets of a study, ready to be compared with training documents.

    Args:
        evaluations: name of each evaluation set to its problems.
    """

    def __init__(self, evaluations: Mapping[str, Sequence[Problem]]) -> None:
        self._sets = {name: _EvaluationSet(problems) for name, problems in evaluations.items()}
        self._grams = frozenset(gram for one in self._sets.values() for gram in one.by_gram)

    def fingerprint(self) -> str:
        """Digest of the questions compared with."""
        return digest({name: [p.question for p in one.problems] for name, one in self._sets.items()})

    def empty_hits(self) -> dict[str, Hits]:
        """Hits of a source of which nothing has been read."""
        return {name: Hits() for name in self._sets}

    def scan(self, examples: Iterable[Example], hits: dict[str, Hits], *, generated: bool) -> None:
        """Add what training documents contain to the hits of their source.

        Args:
            generated: the documents come from a grammar; only their keys are compared.
        """
        for example in examples if self._sets else ():
            for name, one in self._sets.items():
                table = one.by_key if generated else one.by_text
                hits[name].exact.update(table.get(example.key, ()))
            if generated:
                continue
            words = words_of(example.solution if example.question is None else example.question)
            if example.question is not None:
                words += words_of(example.solution)
            if not self._grams.isdisjoint(grams(words)):
                self._note(words, hits)

    def _note(self, words: Sequence[str], hits: dict[str, Hits]) -> None:
        for gram in grams(words):
            if gram in self._grams:
                for name, one in self._sets.items():
                    hits[name].partial.update(one.by_gram.get(gram, ()))

    def report(self, hits: Mapping[str, Hits]) -> dict[str, Any]:
        """What a manifest says about one source: per evaluation set, counts and the first few problems."""
        return {
            name: {
                "problems": len(one.problems),
                "exact": len(hits[name].exact),
                "ngram": len(_all(hits[name])),
                "ngram_words": NGRAM,
                "shorter_than_ngram": one.too_short,
                "examples": [
                    one.problems[i].question[:200] for i in sorted(hits[name].exact | hits[name].partial)[:3]
                ],
            }
            for name, one in self._sets.items()
        }

    def refuse_same_set(self, source: str, hits: Mapping[str, Hits]) -> None:
        """Stop where a training source is an evaluation set under another name.

        Raises:
            InputError: the source holds at least half of an evaluation set word for word.
        """
        for name, one in self._sets.items():
            found, total = len(hits[name].exact), len(one.problems)
            if total and found >= max(2, _SAME_SET_SHARE * total):
                raise InputError(
                    f"the source '{source}' holds {found} of the {total} problems of the evaluation set "
                    f"'{name}' word for word; an evaluation set must not be trained on. Remove the source, "
                    "or evaluate on another set"
                )


def refuse_evaluation_files(sources: Mapping[str, BaseSource], evaluations: Mapping[str, BaseTask]) -> None:
    """Stop before any work where a training source reads the file of an evaluation task, or a copy of it.

    Raises:
        InputError: it does; or a file cannot be read.
    """
    known = {content: name for name, task in evaluations.items() for content in _contents(task.fingerprint())}
    for name, source in sources.items() if known else ():
        fingerprint = source.fingerprint()
        for file in fingerprint:
            if (owner := known.get(_contents({file: fingerprint[file]})[0])) is not None:
                raise InputError(
                    f"the source '{name}' reads {file}, which is the evaluation set '{owner}'; an "
                    "evaluation set must not be trained on. Point the source at the training file"
                )


def _contents(fingerprint: Mapping[str, str]) -> list[str]:
    """Digests of local files, which find copies too; names of files on the hub."""
    return [value if len(value) == 64 else name for name, value in fingerprint.items()]
