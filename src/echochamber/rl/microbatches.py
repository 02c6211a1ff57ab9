"""Completions that go through a model together, and the log-probabilities it gives their tokens.

Logits exist only at response tokens; packing.py decides how completions share rows.

Shape suffixes: R rows, S tokens of a row, N response tokens of a microbatch, D width,
B completions of the rollout, b completions of the microbatch, T response tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from echochamber import rl

if TYPE_CHECKING:
    from torch import Tensor

    from echochamber.model import Policy
    from echochamber.rl.logprobs import Nuclei


@dataclass(frozen=True)
class Microbatch:
    """Completions that go through the model together.

    Attributes:
        sample_b: indices into the rollout's completions.
        mask_bT: True on response tokens.
        token_RS: inputs, padded.
        position_RS: position of each input; None counts from 0.
        allowed_R1SS: True where a query may attend to a key; None is plain causal attention.
        source_N: index into the R x S inputs whose output predicts response token n.
        target_N: response tokens.
        slot_N: index of response token n into b x T.
        nuclei: vocabulary entries that top-p or top-k left at each of the N tokens, or None.
    """

    sample_b: Tensor
    mask_bT: Tensor
    token_RS: Tensor
    position_RS: Tensor | None
    allowed_R1SS: Tensor | None
    source_N: Tensor
    target_N: Tensor
    slot_N: Tensor
    nuclei: Nuclei | None

    def to_grid(self, value_N: Tensor) -> Tensor:
        """Values of the N tokens as (b, T), 0 where there is no token; differentiable."""
        flat = value_N.new_zeros(self.mask_bT.numel())
        return flat.index_copy(0, self.slot_N, value_N).view(self.mask_bT.shape)


@dataclass(frozen=True)
class TokenOutputs:
    """A policy's outputs at each response token.

    Attributes:
        logp_N: log-probability of the token under the distribution it was sampled from, in nats.
        entropy_N: entropy of that distribution, in nats.
        hidden_ND: final hidden state that predicted the token.
    """

    logp_N: Tensor
    entropy_N: Tensor
    hidden_ND: Tensor


def response_hidden(model: Policy, micro: Microbatch) -> Tensor:
    """hidden_ND: the final hidden state before each response token, of a policy, reference or critic."""
    hidden_RSD = model.hidden(micro.token_RS, positions_BT=micro.position_RS, mask=micro.allowed_R1SS)
    return hidden_RSD.flatten(0, 1).index_select(0, micro.source_N)


def token_outputs(model: Policy, micro: Microbatch, *, temperature: float) -> TokenOutputs:
    """Log-probabilities and entropies of the response tokens, under the distribution that was sampled."""
    hidden_ND = response_hidden(model, micro)
    logp_N, entropy_N = rl.logprobs_and_entropy(
        model.head(hidden_ND), micro.target_N, temperature=temperature, nuclei=micro.nuclei
    )
    return TokenOutputs(logp_N, entropy_N, hidden_ND)
