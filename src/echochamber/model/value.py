"""The critic of PPO: one number per token, from hidden states.

Shapes: B sequences, T tokens, D width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from echochamber.base import derive_seed
from echochamber.model.policy import Policy


class ValueHead(nn.Module):
    """A linear map from the hidden state after a token to the expected return from there on.

    Initial weights are normal with standard deviation 1 / (D + 1), so that first values are small
    beside rewards of 1; the bias starts at 0. It can sit on the policy's own hidden states (a shared
    trunk) or on another network's (see `ValueModel`).
    """

    def __init__(self, d_model: int, *, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(derive_seed(seed, "model.value_head"))
        self.weight = nn.Parameter(torch.randn(d_model, generator=generator) / (d_model + 1))
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, h_BTD: Tensor) -> Tensor:
        """values_BT."""
        return F.linear(h_BTD, self.weight[None])[..., 0] + self.bias


class ValueModel(nn.Module):
    """A critic with a network of its own, e.g. a copy of the policy."""

    def __init__(self, trunk: Policy, *, seed: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = ValueHead(trunk.config.d_model, seed=seed)
        # The optimizer should not hold weights of logits that are never used.
        trunk.drop_head()

    def forward(self, tokens_BT: Tensor, *, positions_BT: Tensor | None = None) -> Tensor:
        """values_BT: the value at each token, after reading it."""
        values: Tensor = self.head(self.trunk.hidden(tokens_BT, positions_BT=positions_BT))
        return values
