"""The policy (or a reference, or a critic) on a microbatch: outputs at response tokens only.

Shape suffixes: N response tokens of a microbatch, D width.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from echochamber.model import Policy
from echochamber.rl.batches import Microbatch
from echochamber.rl.logprobs import logprobs_and_entropy


@dataclass(frozen=True)
class TokenOutputs:
    """What the policy says about each response token.

    Attributes:
        logp_N: log-probability of the token under the distribution it was sampled from, in nats.
        entropy_N: entropy of that distribution, in nats.
        hidden_ND: final hidden state that predicted it.
    """

    logp_N: Tensor
    entropy_N: Tensor
    hidden_ND: Tensor


def response_hidden(model: Policy, batch: Microbatch) -> Tensor:
    """hidden_ND: the final hidden state before each response token."""
    hidden_RSD = model.hidden(batch.token_RS, positions_BT=batch.position_RS, mask=batch.allowed_R1SS)
    return hidden_RSD.flatten(0, 1).index_select(0, batch.source_N)


def token_outputs(model: Policy, batch: Microbatch, *, temperature: float) -> TokenOutputs:
    """Log-probabilities and entropies of the response tokens; logits exist at those tokens only."""
    hidden_ND = response_hidden(model, batch)
    logp_N, entropy_N = logprobs_and_entropy(
        model.head(hidden_ND), batch.target_N, temperature=temperature, kept=batch.kept
    )
    return TokenOutputs(logp_N, entropy_N, hidden_ND)
