"""The weights as a sampler uses them: fused where they share an input, and laid out for speed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from echochamber.model import ModelConfig

# On a CPU, matrices with at least this many rows and more columns than rows are multiplied by oneDNN: in its
# packed form, products with 16 to 200 rows are 1.3 to 2 times faster than with the library behind `torch.mm`.
# Other shapes are slower.
PACKED_ROWS = 256


class Matrix:
    """A (K, N) matrix in the form that is fastest to multiply rows with."""

    def __init__(self, weight_NK: Tensor) -> None:
        self.plain = torch.empty_like(weight_NK.t(), memory_format=torch.contiguous_format)
        self.packed: Tensor | None = None
        self.load(weight_NK)

    def load(self, weight_NK: Tensor) -> None:
        """Load other weights of the same shape; `plain` keeps its address."""
        self.plain.copy_(weight_NK.t())
        columns, rows = weight_NK.shape
        wide = rows >= PACKED_ROWS and columns > rows
        if wide and weight_NK.dtype == torch.float32 and weight_NK.device.type == "cpu" and _can_pack():
            self.packed = torch.ops.mkldnn._reorder_linear_weight(weight_NK.contiguous())

    def __call__(self, x_RK: Tensor) -> Tensor:
        """x @ matrix."""
        if self.packed is None:
            return torch.mm(x_RK, self.plain)
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x_RK, self.packed, None, "none", [], "")
        return product


def _can_pack() -> bool:
    """Whether this PyTorch has oneDNN and the operators with which its own compiler packs weights."""
    return torch._C._has_mkldnn and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")


def rearranged(block: nn.Module, config: ModelConfig, dtype: torch.dtype) -> dict[str, Tensor]:
    """The matrices of a block by name, in the form that the sampler's steps use.

    Entries of queries and keys that rotate together are adjacent, so that a rotation is one complex product,
    and queries include the softmax scale.
    """
    heads, width = config.num_heads, config.head_width
    weights = {name: w.detach() for name, w in block.named_parameters()}
    qk, v = weights["qkv"][: 2 * config.d_model], weights["qkv"][2 * config.d_model :]
    paired = qk.view(2, heads, 2, width // 2, -1).transpose(2, 3).reshape(2, -1)
    paired = paired * torch.tensor([[width**-0.5], [1.0]], dtype=qk.dtype, device=qk.device)
    arranged = {**weights, "qkv": torch.cat((paired.view_as(qk), v))}
    return {name: weight.to(dtype) for name, weight in arranged.items()}


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """The matrices of one block; those whose products are added to the stream are transposed."""

    qkv: Matrix
    out: Tensor
    gate_up: Matrix
    down: Tensor

    @classmethod
    def of(cls, weights: Mapping[str, Tensor]) -> LayerWeights:
        """From matrices by name, each (outputs, inputs)."""
        return cls(
            qkv=Matrix(weights["qkv"]),
            out=weights["out"].t().contiguous(),
            gate_up=Matrix(weights["gate_up"]),
            down=weights["down"].t().contiguous(),
        )

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Load other matrices of the same shapes into the same memory."""
        self.qkv.load(weights["qkv"])
        self.gate_up.load(weights["gate_up"])
        self.out.copy_(weights["out"].t())
        self.down.copy_(weights["down"].t())
