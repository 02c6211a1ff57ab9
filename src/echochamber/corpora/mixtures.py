"""Recipes over sources: an exact budget of tokens or documents, or whole passes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from echochamber.base import Config, InputError, did_you_mean
from echochamber.corpora.shards import ShardTotals
from echochamber.corpora.sources import BaseSource, open_source

# How far the sum of shares may differ from 1, so that a third can be written as 0.333.
_ROUNDING = 0.001 + 1e-9


Unit = Literal["tokens", "documents"]


@dataclass(frozen=True, slots=True)
class Quota:
    """How much of a source a mixture takes.

    Attributes:
        amount: exactly this much, or less by under one document; None for the whole source.
        unit: what is counted.
    """

    amount: int | None = None
    unit: Unit = "tokens"

    def of(self, written: ShardTotals) -> int:
        """How much of the quota has been written."""
        return written.tokens if self.unit == "tokens" else written.documents

    def size(self, ids: Sequence[int]) -> int:
        """How much a document with these token ids counts."""
        return len(ids) if self.unit == "tokens" else 1

    def __str__(self) -> str:
        return "all of it" if self.amount is None else f"{self.amount:,} {self.unit}"


class ControlledMixture(Config):
    """A fixed amount of training text, of which each source gets an exact quota, in tokens or in documents.

    Equal numbers of tokens are not equal numbers of documents: a program is shorter than prose. A base
    model's samples follow the documents, its loss follows the tokens.

    Each quota is a prefix of its source, so that mixtures with the same
    sources share documents, and a larger budget contains a smaller one.

    Attributes:
        tokens: training tokens in total, divided by shares. Give either this or documents.
        documents: training documents in total, divided by shares; or a number per source name.
        shares: share of the total by source name; they sum to 1, to within 0.001.
    """

    kind: Literal["controlled"] = "controlled"
    tokens: int | None = Field(default=None, ge=1)
    documents: Annotated[int, Field(ge=1)] | dict[str, Annotated[int, Field(ge=0)]] | None = None
    shares: dict[str, float] = Field(default_factory=dict)

    @field_validator("shares")
    @classmethod
    def _positive(cls, shares: dict[str, float]) -> dict[str, float]:
        for name, share in shares.items():
            if share < 0:
                raise ValueError(f"share {share} of '{name}': expected a number that is not negative")
        if shares and abs(sum(shares.values()) - 1) > _ROUNDING:
            raise ValueError(
                f"the shares sum to {sum(shares.values()):.6g}; expected 1: change one of them, or give "
                "whole passes over each source (kind: passes)"
            )
        return shares

    @model_validator(mode="after")
    def _one_total(self) -> ControlledMixture:
        if (self.tokens is None) == (self.documents is None):
            found = "neither" if self.tokens is None else "both"
            raise ValueError(f"expected either tokens or documents, found {found}")
        if isinstance(self.documents, dict):
            if self.shares:
                raise ValueError("documents has a number for each source already; remove shares")
            if not any(self.documents.values()):
                raise ValueError("the documents sum to 0; expected at least one source above 0")
        elif not self.shares:
            raise ValueError("shares: missing; say which share of the total each source gets")
        return self

    @property
    def unit(self) -> Unit:
        """What the quotas count."""
        return "tokens" if self.documents is None else "documents"

    @property
    def parts_key(self) -> str:
        """The field that names the sources."""
        return "documents" if isinstance(self.documents, dict) else "shares"

    @property
    def source_names(self) -> tuple[str, ...]:
        """Sources with a share above zero, in the order of the file."""
        parts: Mapping[str, float] = self.documents if isinstance(self.documents, dict) else self.shares
        return tuple(name for name, part in parts.items() if part > 0)

    def quotas(self) -> dict[str, Quota]:
        """The quota of each source; they sum to the total (largest remainders are rounded up)."""
        if isinstance(self.documents, dict):
            return {name: Quota(self.documents[name], "documents") for name in self.source_names}
        total = self.tokens if self.tokens is not None else self.documents
        assert total is not None
        sum_of_shares = sum(self.shares.values())
        exact = {name: total * self.shares[name] / sum_of_shares for name in self.source_names}
        amounts = {name: int(value) for name, value in exact.items()}
        odd = total - sum(amounts.values())
        for name in sorted(exact, key=lambda name: amounts[name] - exact[name])[:odd]:
            amounts[name] += 1
        return {name: Quota(amount, self.unit) for name, amount in amounts.items()}


class PassesMixture(Config):
    """Whole passes over each source, as in the paper's "4 x TinyGSM"; the number of tokens follows.

    Attributes:
        passes: number of times each source is read, by name; a fraction reads the first part.
    """

    kind: Literal["passes"] = "passes"
    passes: dict[str, float] = Field(min_length=1)

    @field_validator("passes")
    @classmethod
    def _positive(cls, passes: dict[str, float]) -> dict[str, float]:
        for name, count in passes.items():
            if count < 0:
                raise ValueError(f"{count} passes of '{name}': expected a number that is not negative")
        if sum(passes.values()) <= 0:
            raise ValueError("there are 0 passes of everything; expected at least one above 0")
        return passes

    @property
    def parts_key(self) -> str:
        """The field that names the sources."""
        return "passes"

    @property
    def source_names(self) -> tuple[str, ...]:
        """Sources with passes above zero, in the order of the file."""
        return tuple(name for name, count in self.passes.items() if count > 0)


Mixture = ControlledMixture | PassesMixture
MixtureConfig = Annotated[Mixture, Field(discriminator="kind")]


@dataclass(frozen=True, slots=True)
class PlannedSource:
    """What a mixture takes from one source.

    Attributes:
        tokens: training tokens; None if only tokenizing can tell.
        share: share of the mixture's tokens; None likewise.
        passes: times the source is read, estimated for a controlled quota; None if unknown.
        estimated: whether the tokens are an estimate.
    """

    name: str
    kind: str
    tokens: int | None
    share: float | None
    passes: float | None
    estimated: bool = False

    @property
    def tokens_on_disk(self) -> int | None:
        """Tokens that are stored: repeated passes are stored once."""
        if self.tokens is None or self.passes is None or self.passes <= 1:
            return self.tokens
        return round(self.tokens / self.passes)


@dataclass(frozen=True, slots=True)
class MixturePlan:
    """What a mixture takes from its sources, for the dry run."""

    sources: tuple[PlannedSource, ...]

    @property
    def tokens(self) -> int | None:
        """Training tokens in total; None if only tokenizing can tell."""
        counts = [source.tokens for source in self.sources]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None


def check_sources(config: Mixture, sources: Mapping[str, BaseSource]) -> None:
    """Check that every source of a mixture exists and can be used that way.

    Raises:
        InputError: there is no source of that name, or an endless stream is to be read in passes.
    """
    for name in config.source_names:
        if name not in sources:
            raise InputError(
                f"the mixture names the source '{name}', which does not exist; there are "
                f"{', '.join(sources) or 'none'}.{did_you_mean(name, sources)}"
            )
        if isinstance(config, PassesMixture) and sources[name].is_endless:
            raise InputError(
                f"the mixture wants {config.passes[name]:g} passes of '{name}', which is generated without "
                "end; give the source a number of documents, or use a mixture of kind controlled"
            )


def plan_mixture(config: Mixture, sources: Mapping[str, BaseSource]) -> MixturePlan:
    """Tokens, share and passes of every source of a mixture, without reading the sources.

    Raises:
        InputError: there is no source of that name, or an endless stream is to be read in passes.
    """
    check_sources(config, sources)
    if isinstance(config, ControlledMixture):
        return _plan_controlled(config, sources)
    tokens = {name: sources[name].planned_tokens() for name in config.source_names}
    totals = {name: round(count * config.passes[name]) for name, count in tokens.items() if count is not None}
    total = sum(totals.values()) if len(totals) == len(tokens) else None
    return MixturePlan(
        tuple(
            PlannedSource(
                name, _kind(sources[name]), totals.get(name), totals[name] / total if total else None,
                config.passes[name], estimated=True,
            )
            for name in config.source_names
        )
    )  # fmt: skip


def _plan_controlled(config: ControlledMixture, sources: Mapping[str, BaseSource]) -> MixturePlan:
    planned: list[PlannedSource] = []
    quotas = config.quotas()
    counts = {
        name: _documents_as_tokens(sources[name], quota.amount or 0)
        if quota.unit == "documents"
        else quota.amount
        for name, quota in quotas.items()
    }
    known = [count for count in counts.values() if count is not None]
    total = sum(known) if len(known) == len(counts) else None
    for name, tokens in counts.items():
        source, share = sources[name], None if total is None or tokens is None else tokens / total
        passes = _passes(source, quotas[name], tokens)
        estimated = config.unit == "documents"
        planned.append(PlannedSource(name, _kind(source), tokens, share, passes, estimated))
    return MixturePlan(tuple(planned))


# Documents read, and characters per token, to estimate tokens from a number of documents.
_LOOKED_AT = 200
_CHARACTERS_PER_TOKEN = 4.0


def _documents_as_tokens(source: BaseSource, documents: int) -> int | None:
    """Approximate tokens of that many documents, judged by the first ones; None without a connection."""
    if not source.is_local:
        return None
    first = list(islice(open_source(source, seed=0), _LOOKED_AT))
    characters = sum(len(example.question or "") + len(example.solution) for example in first)
    return round(documents * characters / _CHARACTERS_PER_TOKEN / len(first)) if first else None


def _passes(source: BaseSource, quota: Quota, tokens: int | None) -> float | None:
    """About how often a quota reads a finite source; a build refuses more than once."""
    if source.is_endless:
        return None
    if quota.unit == "documents" and source.documents is not None and quota.amount is not None:
        return quota.amount / source.documents
    size = source.planned_tokens()
    return tokens / size if size and tokens is not None else None


def _kind(source: BaseSource) -> str:
    return str(getattr(source, "kind", type(source).__name__))
