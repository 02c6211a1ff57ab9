"""Contamination: which evaluation problems training text contains, word for word, in part, or by structure.

Texts are reduced to words, numbers and signs first (`corpora.identity`). A
problem counts as

- *exact* when its question is a training question, or occurs in a training document from first word to last;
- *structure* when a training problem has its operations and numbers;
- *13-gram* when any 13 consecutive words of its question occur in a training document (the measure of Brown
  et al. 2020, arXiv:2005.14165, appendix C).

Sources that generate their documents are compared by structure alone: they share templates, and so 13-grams,
by design.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from echochamber.base import InputError, Problem, digest
from echochamber.corpora.identity import text_key, words_of
from echochamber.corpora.sources import Example

NGRAM = 13

# A question is searched for inside documents by its first words; a shorter one only as a whole text.
_OPENING = 4

LEAKED_SHARE = 0.01
"""Share of an evaluation set that training text may contain word for word, unless a study sets it."""

Gram = tuple[str, ...]


def grams(words: Sequence[str], size: int = NGRAM) -> Iterator[Gram]:
    """Every run of the given number of words."""
    return zip(*(words[i:] for i in range(size)), strict=False)


@dataclass(slots=True)
class Hits:
    """Numbers of the evaluation problems that training text contains.

    Attributes:
        exact: problems whose question occurs there word for word.
        partial: problems that share 13 consecutive words with a document.
        structure: problems whose operations and numbers a document has.
    """

    exact: set[int] = field(default_factory=set)
    partial: set[int] = field(default_factory=set)
    structure: set[int] = field(default_factory=set)

    def add(self, other: Hits) -> None:
        """Add what another text contains."""
        self.exact |= other.exact
        self.partial |= other.partial
        self.structure |= other.structure


class _EvaluationSet:
    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = problems
        self.by_text: dict[str, list[int]] = {}
        self.by_structure: dict[str, list[int]] = {}
        self.by_gram: dict[Gram, list[int]] = {}
        self.by_opening: dict[Gram, list[tuple[list[str], int]]] = {}
        self.too_short = 0
        for index, problem in enumerate(problems):
            self.by_text.setdefault(text_key(problem.question), []).append(index)
            if problem.structure:
                self.by_structure.setdefault(problem.structure, []).append(index)
            words = words_of(problem.question)
            self.too_short += len(words) < NGRAM
            for gram in grams(words):
                self.by_gram.setdefault(gram, []).append(index)
            if len(words) >= _OPENING:
                self.by_opening.setdefault(tuple(words[:_OPENING]), []).append((words, index))

    def quoted(self, words: Sequence[str], start: int, opening: Gram) -> Iterator[int]:
        """Problems whose whole question occurs in a document at word `start`."""
        for question, index in self.by_opening.get(opening, ()):
            end = start + len(question)
            before = words[start - 1] if start else ""
            after = words[end] if end < len(words) else ""
            goes_on = _joins(before, question[0]) or _joins(after, question[-1])
            if not goes_on and list(words[start:end]) == question:
                yield index


def _joins(sign: str, word: str) -> bool:
    """Whether a sign beside a question makes it part of a longer expression: "3 + 5" in "3 + 5 * 2"."""
    return sign in ("+", "-", "*", "/", "^", "!", "%") and (len(word) == 1 or not word[0].isalpha())


class OverlapIndex:
    """The evaluation sets of a study, ready to be compared with training documents.

    Args:
        evaluations: name of each evaluation set to its problems.
        limit: share of a set's questions that may be found word for word.
    """

    def __init__(self, evaluations: Mapping[str, Sequence[Problem]], *, limit: float = LEAKED_SHARE) -> None:
        self.limit = limit
        self._sets = {name: _EvaluationSet(problems) for name, problems in evaluations.items()}
        self._grams = frozenset(gram for one in self._sets.values() for gram in one.by_gram)
        self._openings = frozenset(gram for one in self._sets.values() for gram in one.by_opening)

    def fingerprint(self) -> str:
        """Digest of the questions compared with."""
        return digest(
            {name: [[p.question, p.structure] for p in one.problems] for name, one in self._sets.items()}
        )

    def empty_hits(self) -> dict[str, Hits]:
        """Hits of a source before anything has been read."""
        return {name: Hits() for name in self._sets}

    def scan(self, examples: Iterable[Example], hits: dict[str, Hits], *, generated: bool) -> None:
        """Add what training documents contain to the hits of their source.

        Args:
            generated: the documents come from a grammar, so only their structures are compared.
        """
        for example in examples if self._sets else ():
            if example.structure:
                for name, one in self._sets.items():
                    hits[name].structure.update(one.by_structure.get(example.structure, ()))
            if generated:
                continue
            for name, one in self._sets.items():
                hits[name].exact.update(one.by_text.get(example.key, ()))
            words = words_of(example.question or "") + words_of(example.solution)
            if not self._openings.isdisjoint(grams(words, _OPENING)):
                self._note_quotes(words, hits)
            if not self._grams.isdisjoint(grams(words)):
                self._note_grams(words, hits)

    def _note_quotes(self, words: Sequence[str], hits: dict[str, Hits]) -> None:
        for start, opening in enumerate(grams(words, _OPENING)):
            if opening in self._openings:
                for name, one in self._sets.items():
                    hits[name].exact.update(one.quoted(words, start, opening))

    def _note_grams(self, words: Sequence[str], hits: dict[str, Hits]) -> None:
        for gram in grams(words):
            if gram in self._grams:
                for name, one in self._sets.items():
                    hits[name].partial.update(one.by_gram.get(gram, ()))

    def report(self, hits: Mapping[str, Hits]) -> dict[str, Any]:
        """A manifest's entry for one source: per evaluation set, counts and the first few problems."""
        return {
            name: {
                "problems": len(one.problems),
                "exact": len(hits[name].exact),
                "structure": len(hits[name].structure),
                "ngram": len(hits[name].exact | hits[name].partial),
                "ngram_words": NGRAM,
                "shorter_than_ngram": one.too_short,
                "examples": self._examples(one, hits[name].exact | hits[name].partial),
            }
            for name, one in self._sets.items()
        }

    def _examples(self, one: _EvaluationSet, found: Iterable[int]) -> list[str]:
        return [one.problems[i].question[:200] for i in sorted(found)[:3]]

    def refuse_leaks(self, what: str, hits: Mapping[str, Hits]) -> None:
        """Raise if training text contains more of an evaluation set word for word than the limit allows.

        Args:
            what: the text, e.g. "the source 'web'".

        Raises:
            InputError: with counts and examples.
        """
        for name, one in self._sets.items():
            found, total = len(hits[name].exact), len(one.problems)
            if found > self.limit * total:
                shown = " and ".join(f"'{text}'" for text in self._examples(one, hits[name].exact)[:2])
                raise InputError(
                    f"{what} holds {found} of the {total} problems of the evaluation set '{name}' word for "
                    f"word ({found / total:.1%}; max_leaked_share allows {self.limit:.1%}), such as {shown}; "
                    "an evaluation set must not be trained on. Remove them from the training data, evaluate "
                    "on another set, or raise max_leaked_share if that is meant"
                )
