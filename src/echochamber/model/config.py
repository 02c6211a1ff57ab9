"""Sizes of the transformer, and the parameters and arithmetic that follow from them."""

from __future__ import annotations

from typing import Protocol, Self

from pydantic import Field, model_validator

from echochamber.base import Config, InputError, did_you_mean


class PolicyConfig(Protocol):
    """The sizes of a policy that other code needs."""

    @property
    def d_model(self) -> int:
        """Width of a hidden state."""

    @property
    def num_layers(self) -> int:
        """Blocks."""

    @property
    def mlp_hidden(self) -> int:
        """Inner width of a block's MLP."""

    @property
    def context_length(self) -> int:
        """Longest sequence, in tokens."""

    @property
    def vocab_size(self) -> int:
        """Rows of the embedding."""


class ModelConfig(Config):
    """A decoder-only transformer of the OLMo-1 kind.

    Pre-norm LayerNorm without parameters, rotary positions (rotate-half), SwiGLU, no biases
    (Groeneveld et al. 2024, arXiv:2402.00838).

    Attributes:
        d_model: width of the residual stream.
        num_heads: attention heads; the width of a head is `d_model / num_heads`.
        mlp_hidden: inner width of the SwiGLU, after gating.
        vocab_size: rows of the embedding.
        context_length: longest sequence, in tokens.
        tied_embeddings: the embedding also serves as the output matrix.
        rope_theta: base of the rotary frequencies (Su et al. 2021, arXiv:2104.09864).
        init_std: standard deviation of the initial weights.
        init_cutoff: the initial normal is truncated at this many standard deviations.
    """

    d_model: int = Field(gt=0)
    num_layers: int = Field(gt=0)
    num_heads: int = Field(gt=0)
    mlp_hidden: int = Field(gt=0)
    vocab_size: int = Field(gt=0)
    context_length: int = Field(gt=0)
    tied_embeddings: bool = False
    rope_theta: float = Field(default=10000.0, gt=0)
    norm_eps: float = Field(default=1e-5, gt=0)
    init_std: float = Field(default=0.02, gt=0)
    init_cutoff: float = Field(default=3.0, gt=0)

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.d_model % self.num_heads or (self.d_model // self.num_heads) % 2:
            raise ValueError(
                f"d_model {self.d_model} with {self.num_heads} heads: expected heads of one even width, "
                "so that rotary positions can pair its entries"
            )
        return self

    @property
    def head_width(self) -> int:
        """Entries of one head's query, key or value."""
        return self.d_model // self.num_heads


# name: d_model, layers, heads, SwiGLU inner width, tied embeddings.
# The last four are the published models of Zhao, Meterez et al. 2025 (arXiv:2504.07912).
SIZES: dict[str, tuple[int, int, int, int, bool]] = {
    "pico": (64, 4, 2, 256, False),
    "nano": (128, 4, 4, 512, False),
    "micro": (256, 6, 4, 1024, False),
    "small": (512, 8, 8, 2048, False),
    "150m": (768, 12, 12, 3072, False),
    "300m": (1024, 14, 16, 4096, False),
    "500m": (1536, 12, 12, 6144, False),
    "1b": (2048, 16, 16, 8192, True),
}


def size_config(name: str, *, vocab_size: int, context_length: int) -> ModelConfig:
    """The config of a named model size.

    Raises:
        InputError: no such size.
    """
    if name not in SIZES:
        raise InputError(
            f"unknown model size '{name}': expected one of {', '.join(SIZES)}.{did_you_mean(name, SIZES)}"
        )
    d_model, num_layers, num_heads, mlp_hidden, tied = SIZES[name]
    return ModelConfig(
        d_model=d_model,
        num_layers=num_layers,
        num_heads=num_heads,
        mlp_hidden=mlp_hidden,
        vocab_size=vocab_size,
        context_length=context_length,
        tied_embeddings=tied,
    )


def num_parameters(config: ModelConfig) -> int:
    """Number of trained weights, embeddings included."""
    block = 4 * config.d_model**2 + 3 * config.d_model * config.mlp_hidden
    embeddings = config.vocab_size * config.d_model * (1 if config.tied_embeddings else 2)
    return embeddings + config.num_layers * block


def flops_per_token(config: ModelConfig, context: int) -> float:
    """Floating-point operations to train on one token of a sequence of `context` tokens.

    6 N for the matrix products of forward and backward (Kaplan et al. 2020, arXiv:2001.08361; N counts
    all parameters), plus 6 x layers x d_model x context for causal attention: scores and weighted sum
    over context / 2 earlier tokens on average. The forward pass alone is a third.
    """
    return 6.0 * num_parameters(config) + 6.0 * config.num_layers * config.d_model * context
