"""The interface of what is trained: anything that turns tokens into hidden states, and those into logits.

Shapes: B sequences, T tokens, D width, V vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from echochamber.model.config import PolicyConfig


class Policy(nn.Module, ABC):
    """A causal language model as post-training, sampling and evaluation use it.

    Attributes:
        config: its sizes.
    """

    config: PolicyConfig

    @property
    @abstractmethod
    def head_weight(self) -> Tensor:
        """The output matrix, (V, D)."""

    @abstractmethod
    def hidden(
        self, tokens_BT: Tensor, *, positions_BT: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """The residual stream after the final norm, h_BTD.

        Args:
            tokens_BT: token ids. Padding goes on the right, where causal attention never sees it.
            positions_BT: position of each token, each below the context length; 0, 1, 2, ... when None.
            mask: boolean, broadcastable to (B, H, T, T), True where a query (row) may look at a key
                (column); causal when None. Every query must be allowed at least one key.

        Raises:
            InputError: the sequence is longer than the context.
        """

    @abstractmethod
    def drop_head(self) -> None:
        """Drop the output matrix unless it is shared with the embedding: a critic does not need logits."""

    @abstractmethod
    def write(self, folder: Path) -> None:
        """Write a folder that `load_policy` reads; equal weights give equal bytes.

        Raises:
            EchoError: the disk refused.
        """

    @abstractmethod
    def export(self, folder: Path, *, eos_id: int, pad_id: int) -> None:
        """Write a folder that `AutoModelForCausalLM.from_pretrained` loads, with identical logits.

        Raises:
            InputError: their architecture cannot express this model.
            EchoError: the disk refused.
        """

    @abstractmethod
    def to_transformers(self, *, eos_id: int, pad_id: int) -> Any:
        """A transformers model with a copy of the weights, on the same device.

        Raises:
            InputError: transformers is not installed.
        """

    @abstractmethod
    def transformers_state(self) -> Mapping[str, Tensor]:
        """The weights under the names of `to_transformers`; views, not copies."""

    def head(self, h: Tensor) -> Tensor:
        """Logits of hidden states: (..., D) to (..., V)."""
        return F.linear(h, self.head_weight)

    def forward(
        self, tokens_BT: Tensor, *, positions_BT: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """logits_BTV; arguments as in `hidden`."""
        return self.head(self.hidden(tokens_BT, positions_BT=positions_BT, mask=mask))
