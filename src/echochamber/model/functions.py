"""The two elementwise parts of a block, with backward passes that write each gradient once.

Left to autograd, slicing a fused projection costs a zero-filled copy and an addition per slice in the
backward pass, and rotary positions cost ten kernels; here both are a few passes over one buffer. The
forward arithmetic is that of the textbook form, product by product, so the results are bit-identical.

Shapes: B sequences, T tokens, H heads, W entries per head, M inner width of the SwiGLU.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def rotate(out: Tensor, x: Tensor, cos: Tensor, sin: Tensor, *, back: bool = False) -> None:
    """Write rotary positions of `x` to `out`; the last axis holds W entries, paired (i, i + W/2).

    out_i = x_i cos_i - x_j sin_i and out_j = x_j cos_i + x_i sin_i (Su et al. 2021, arXiv:2104.09864, in
    the rotate-half layout). `cos` holds each cosine twice, `sin` first the negated sines, then the sines;
    both broadcast. Whole rows are processed at a time: rows of W/2 entries would leave a vector unit half
    idle.

    Args:
        back: rotate by the opposite angles, which is the inverse and the transpose.
    """
    half = x.shape[-1] // 2
    swapped = torch.cat((x[..., half:], x[..., :half]), dim=-1) * sin
    torch.mul(x, cos, out=out)
    if back:
        out -= swapped
    else:
        out += swapped


class _RotaryQKV(torch.autograd.Function):
    """Queries, keys and values of a fused projection, the first two rotated."""

    @staticmethod
    def forward(ctx: Any, qkv_BT3HW: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(cos, sin)
        qk_BT2HW = torch.empty_like(qkv_BT3HW[:, :, :2])
        rotate(qk_BT2HW, qkv_BT3HW[:, :, :2], cos, sin)
        q_BTHW, k_BTHW = qk_BT2HW.unbind(2)
        return q_BTHW, k_BTHW, qkv_BT3HW[:, :, 2]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dq: Tensor, dk: Tensor, dv: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = (table[..., 0, :, :] for table in ctx.saved_tensors)
        batch, length, heads, width = dq.shape
        grad_BT3HW = dq.new_empty(batch, length, 3, heads, width)
        rotate(grad_BT3HW[:, :, 0], dq, cos, sin, back=True)
        rotate(grad_BT3HW[:, :, 1], dk, cos, sin, back=True)
        grad_BT3HW[:, :, 2] = dv
        return grad_BT3HW, None, None


class _SwiGLU(torch.autograd.Function):
    """silu(gate) x up from the fused projection."""

    @staticmethod
    def forward(ctx: Any, gate_up: Tensor) -> Tensor:
        gate, up = gate_up.chunk(2, dim=-1)
        # Kept because an exponential costs more than reading the result back.
        activated = torch.nn.functional.silu(gate)
        ctx.save_for_backward(gate_up, activated)
        return activated * up

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        gate_up, activated = ctx.saved_tensors
        gate, up = gate_up.chunk(2, dim=-1)
        grad_gate_up = torch.empty_like(gate_up)
        grad_gate, grad_up = grad_gate_up.chunk(2, dim=-1)
        torch.mul(grad, activated, out=grad_up)
        torch.ops.aten.silu_backward.grad_input(grad * up, gate, grad_input=grad_gate)
        return grad_gate_up


def rotary_qkv(qkv_BT3HW: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Split a fused projection into q, k, v (each B, T, H, W), rotating q and k.

    `cos` and `sin`, as in `rotate`, are (T, 1, 1, W) or (B, T, 1, 1, W).
    """
    return cast(tuple[Tensor, Tensor, Tensor], _RotaryQKV.apply(qkv_BT3HW, cos, sin))  # type: ignore[no-untyped-call]


def swiglu(gate_up: Tensor) -> Tensor:
    """silu(gate) x up, with gate and up side by side in the last axis (Shazeer 2020, arXiv:2002.05202)."""
    return cast(Tensor, _SwiGLU.apply(gate_up))  # type: ignore[no-untyped-call]
