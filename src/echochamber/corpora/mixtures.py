"""Recipes over sources: an exact token budget, or whole passes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, field_validator

from echochamber.base import Config, InputError, did_you_mean
from echochamber.corpora.sources import BaseSource

# How far shares may sum to something else than 1, so that a third can be written as 0.333.
_ROUNDING = 0.001 + 1e-9


class ControlledMixture(Config):
    """A fixed total of tokens, of which each source gets an exact quota.

    Each quota is a prefix of its source, so that mixtures with the same
    sources share documents, and a larger budget contains a smaller one.

    Attributes:
        tokens: training tokens in total.
        shares: source name to its share of the tokens; they sum to 1, to within 0.001.
    """

    kind: Literal["controlled"] = "controlled"
    tokens: int = Field(ge=1)
    shares: dict[str, float] = Field(min_length=1)

    @field_validator("shares")
    @classmethod
    def _positive(cls, shares: dict[str, float]) -> dict[str, float]:
        for name, share in shares.items():
            if share < 0:
                raise ValueError(f"share {share} of '{name}': expected a number that is not negative")
        if abs(sum(shares.values()) - 1) > _ROUNDING:
            raise ValueError(
                f"the shares sum to {sum(shares.values()):.6g}; expected 1: change one of them, or give "
                "whole passes over each source (kind: passes)"
            )
        return shares

    @property
    def source_names(self) -> tuple[str, ...]:
        """Sources with a share above zero, in the order of the file."""
        return tuple(name for name, share in self.shares.items() if share > 0)

    def quotas(self) -> dict[str, int]:
        """Tokens per source; they sum to `tokens` (largest remainders get the odd ones)."""
        total = sum(self.shares.values())
        exact = {name: self.tokens * self.shares[name] / total for name in self.source_names}
        quotas = {name: int(value) for name, value in exact.items()}
        odd = self.tokens - sum(quotas.values())
        for name in sorted(exact, key=lambda name: quotas[name] - exact[name])[:odd]:
            quotas[name] += 1
        return quotas


class PassesMixture(Config):
    """Whole passes over each source, as in the paper's "4 x TinyGSM"; tokens follow.

    Attributes:
        passes: source name to the number of times it is read; a fraction reads the first part.
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
    def source_names(self) -> tuple[str, ...]:
        """Sources with passes above zero, in the order of the file."""
        return tuple(name for name, count in self.passes.items() if count > 0)


Mixture = ControlledMixture | PassesMixture
MixtureConfig = Annotated[Mixture, Field(discriminator="kind")]


@dataclass(frozen=True, slots=True)
class PlannedSource:
    """What a mixture takes from one source.

    Attributes:
        tokens: training tokens; None where only tokenising can tell.
        share: of the mixture's tokens; None likewise.
        passes: times the source is read, estimated for a controlled quota; None where nothing tells.
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
        """Training tokens in total; None where only tokenising can tell."""
        counts = [source.tokens for source in self.sources]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None


def check_sources(config: Mixture, sources: Mapping[str, BaseSource]) -> None:
    """Every source of a mixture exists and can be used that way.

    Raises:
        InputError: a name without a source, or passes over a stream without end.
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
        InputError: a name without a source, or passes over a stream without end.
    """
    check_sources(config, sources)
    if isinstance(config, ControlledMixture):
        return MixturePlan(
            tuple(
                PlannedSource(
                    name, _kind(sources[name]), quota, quota / config.tokens, _passes(sources[name], quota)
                )
                for name, quota in config.quotas().items()
            )
        )
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


def _passes(source: BaseSource, quota: int) -> float | None:
    """About how often a quota reads a source that ends; a build refuses more than once."""
    size = None if source.is_endless else source.planned_tokens()
    return quota / size if size else None


def _kind(source: BaseSource) -> str:
    return str(getattr(source, "kind", type(source).__name__))
