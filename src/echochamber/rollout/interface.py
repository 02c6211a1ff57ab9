"""What every rollout engine takes and returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from echochamber.base import Config, InputError

if TYPE_CHECKING:
    from echochamber.model import Policy


class Sampling(Config):
    """How the next token is chosen.

    Logits are divided by the temperature, then cut to the `top_k` largest, then to the smallest set
    whose share of the remaining probability reaches `top_p`.

    Attributes:
        temperature: 0 takes the most likely token.
        top_p: 1 excludes nothing (Holtzman et al. 2020, arXiv:1904.09751).
        top_k: 0 excludes nothing.
        max_new_tokens: a completion without eos ends at this length, or at the end of the model's context.
    """

    temperature: float = Field(default=1.0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=0)
    max_new_tokens: int = Field(default=80, gt=0)

    @property
    def greedy(self) -> bool:
        """Whether no randomness is involved."""
        return self.temperature == 0

    @property
    def has_nucleus(self) -> bool:
        """Whether some tokens are excluded, so that the nucleus is recorded."""
        return not self.greedy and (self.top_p < 1 or self.top_k > 0)


@dataclass(frozen=True, slots=True)
class Nucleus:
    """The tokens that top-p or top-k left at each position of one completion, in compressed rows.

    Attributes:
        offsets: int32, one more than positions; position t can draw any of `ids[offsets[t]:offsets[t + 1]]`.
        ids: int32 token ids, most likely first.
    """

    offsets: NDArray[np.int32]
    ids: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class SampledTokens:
    """One continuation of a prompt, as an engine samples it.

    Attributes:
        token_ids: int32, including the eos if the model stopped by itself.
        logprobs: float32, in nats: the log-probability of each token under the distribution it was drawn from
            (with temperature and truncation); for greedy decoding, at temperature 1 without truncation.
        finish_reason: `stop` at eos, `length` at the limit of new tokens or of the context.
        policy_version: the version that was given with the weights.
        nucleus: the nuclei that its tokens were drawn from, if the distribution was truncated.
    """

    token_ids: NDArray[np.int32]
    logprobs: NDArray[np.float32]
    finish_reason: Literal["stop", "length"]
    policy_version: int
    nucleus: Nucleus | None = None


class Engine(Protocol):
    """Samples completions. Engines are interchangeable up to rounding of the logits."""

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        *,
        num_samples: int,
        seed: int,
        step: int,
        prompt_ids: Sequence[int] | None = None,
    ) -> list[list[SampledTokens]]:
        """`num_samples` continuations of every prompt: `result[prompt][sample]`.

        The random number of a token is a function of (seed, step, prompt id, sample, position) and of nothing
        else: neither of the other prompts nor of how the work is split into batches.

        Args:
            prompts: token ids of each prompt, all shorter than the model's context.
            prompt_ids: the number of each prompt in the random stream; None is 0, 1, 2, ...

        Raises:
            InputError: a prompt is empty, or leaves no room for a token in the context.
        """

    def load_weights(self, model: Policy, version: int) -> None:
        """Sample from a copy of these weights from now on; `version` is recorded with every completion."""


def check_fit(
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    context_length: int,
    what: str = "",
    whole: bool = True,
) -> int:
    """The length of the longest prompt, in tokens, if it fits in the model's context with its completion.

    Args:
        what: what the prompts belong to, e.g. `"task 'train'"`.
        whole: require room for `max_new_tokens`; otherwise the context may end a completion, and only its
            first token must fit.

    Raises:
        InputError: the longest prompt leaves too little room.
    """
    longest = max((len(prompt) for prompt in prompts), default=0)
    room = context_length - longest
    if room < (max_new_tokens if whole else 1):
        mend = f"Lower max_new_tokens to at most {room}" if room > 0 else "Ask shorter questions"
        raise InputError(
            f"the longest prompt{' of ' if what else ''}{what} has {longest} tokens; with max_new_tokens "
            f"{max_new_tokens} it exceeds the model's context of {context_length}. {mend}, or use a model "
            f"with a context_length of at least {longest + max_new_tokens}"
        )
    return longest


def check_prompts(
    prompts: Sequence[Sequence[int]],
    prompt_ids: Sequence[int] | None,
    sampling: Sampling,
    context_length: int,
) -> Sequence[int]:
    """The prompt ids to use.

    Raises:
        InputError: a prompt that no engine can continue.
    """
    for index, prompt in enumerate(prompts):
        if not len(prompt):
            raise InputError(f"prompt {index} is empty; expected at least one token")
    check_fit(prompts, max_new_tokens=sampling.max_new_tokens, context_length=context_length, whole=False)
    if prompt_ids is None:
        return range(len(prompts))
    if len(prompt_ids) != len(prompts):
        raise ValueError(f"{len(prompt_ids)} prompt ids for {len(prompts)} prompts")
    return prompt_ids
