"""The transformer as a sampler runs it: fused weights, a preallocated cache, no autograd, no modules.

The engine keeps its own copy of the weights, rearranged once per update instead of once per token:
entries of queries and keys that rotate together lie side by side, so that a rotation is one complex
product, and queries carry the softmax scale.

Shapes: R rows (completions), P prompts, S prompt tokens in one packed row, L longest prompt,
C columns of the cache, D width, H heads, W entries a head, M SwiGLU inner width, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from echochamber.model import Transformer


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """Transposed, so that a product is `x @ weight`."""

    qkv: Tensor
    out: Tensor
    gate_up: Tensor
    down: Tensor


@dataclass(slots=True)
class Batch:
    """Rows being sampled together.

    Prompts end at the same column of the cache, so that every row writes its next token to the same
    column; shorter prompts leave columns at the left that `bias_RC` hides.

    Attributes:
        cache: (layers, 2, R, H, C, W), keys and values; rows beyond the live ones are free.
        length: columns filled so far.
        offset_R: position in the sequence minus column in the cache, of each row.
        bias_RC: 0 or minus infinity for the columns up to the longest padding; None without padding.
    """

    cache: Tensor
    length: int
    offset_R: Tensor
    bias_RC: Tensor | None


def _pairs(x: Tensor) -> Tensor:
    """The last axis as complex numbers of its neighbouring entries; a view."""
    return torch.view_as_complex(x.view(*x.shape[:-1], -1, 2))


class Decoder:
    """Prefill and single-token steps on one copy of the weights."""

    def __init__(self, model: Transformer) -> None:
        self.config = model.config
        self.dtype, self.device = model.embedding.dtype, model.embedding.device
        heads, width = self.config.num_heads, self.config.head_width
        with torch.no_grad():
            self.embedding = model.embedding.detach().clone()
            self.head = model.head_weight.detach().t().contiguous()
            self.layers = []
            for block in model.blocks:
                weights = {name: w.detach() for name, w in block.named_parameters()}
                qk, v = weights["qkv"][: 2 * self.config.d_model], weights["qkv"][2 * self.config.d_model :]
                paired = qk.view(2, heads, 2, width // 2, -1).transpose(2, 3).reshape(2, -1)
                paired = paired * torch.tensor([[width**-0.5], [1.0]], dtype=qk.dtype, device=qk.device)
                self.layers.append(
                    LayerWeights(
                        qkv=torch.cat((paired.view_as(qk), v)).t().contiguous(),
                        out=weights["out"].t().contiguous(),
                        gate_up=weights["gate_up"].t().contiguous(),
                        down=weights["down"].t().contiguous(),
                    )
                )
        # There are no complex numbers of half precision: those rotate in float32.
        self.real = torch.float64 if self.dtype == torch.float64 else torch.float32
        self.cis = torch.complex(model.cos.to(self.real), model.sin.to(self.real))
        self._buffer = torch.empty(0, dtype=self.dtype, device=self.device)

    def _norm(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, (self.config.d_model,), None, None, self.config.norm_eps)

    def _qkv(self, x_RD: Tensor, layer: LayerWeights, out: Sequence[Tensor], cis: Tensor) -> None:
        """Write rotated queries, rotated keys and values of the stream, each (R, H, W), to `out`."""
        heads, width = self.config.num_heads, self.config.head_width
        qkv = torch.mm(self._norm(x_RD), layer.qkv).view(len(x_RD), 3, heads, width)
        for slot in (0, 1):
            if self.dtype == self.real:
                torch.mul(_pairs(qkv[:, slot]), cis, out=_pairs(out[slot]))
            else:
                out[slot].copy_(torch.view_as_real(_pairs(qkv[:, slot].to(self.real)) * cis).flatten(2))
        out[2].copy_(qkv[:, 2])

    def _finish(self, x_RD: Tensor, mixed_RD: Tensor, layer: LayerWeights) -> Tensor:
        """The block after attention; the stream is updated in place."""
        x_RD.addmm_(mixed_RD, layer.out)
        gate_up = torch.mm(self._norm(x_RD), layer.gate_up)
        gate, up = gate_up.chunk(2, dim=1)
        return x_RD.addmm_(F.silu(gate).mul_(up), layer.down)

    def logits(self, x_RD: Tensor) -> Tensor:
        """logits_RV of the stream after the last block."""
        return torch.mm(self._norm(x_RD), self.head)

    def prefill(
        self, prompts: Sequence[Sequence[int]], rows_of_prompt: Sequence[int], num_columns: int
    ) -> tuple[Tensor, Batch]:
        """Read the prompts once each and open a batch with `rows_of_prompt[p]` rows for prompt p.

        Linear layers run on the prompt tokens alone, one after the other without padding. In the last
        block only the prompts' last tokens go beyond keys and values.

        Returns:
            Logits after each prompt, (P, V), and the batch, with its rows in the order of the prompts.
        """
        lengths = torch.tensor([len(p) for p in prompts])
        longest = int(lengths.max())
        tokens_S = torch.tensor([t for p in prompts for t in p], device=self.device)
        prompt_S = torch.repeat_interleave(torch.arange(len(prompts)), lengths)
        last_P = lengths.cumsum(0) - 1
        position_S = torch.arange(len(tokens_S)) - (last_P - lengths + 1)[prompt_S]
        column_S = position_S + (longest - lengths)[prompt_S]
        slot_S = (prompt_S * longest + column_S).to(self.device)
        mask = self._prefill_mask(longest - lengths, longest)
        row_prompt = torch.repeat_interleave(
            torch.arange(len(prompts)), torch.tensor(list(rows_of_prompt))
        ).to(self.device)
        batch = self._open(longest - lengths, row_prompt, longest, num_columns)
        cis = self.cis[position_S.to(self.device)].unsqueeze(1)
        last_P = last_P.to(self.device)
        x_SD = self.embedding[tokens_S]
        for index, layer in enumerate(self.layers):
            mixed_SD = self._prefill_attention(x_SD, layer, cis, slot_S, mask, batch.cache[index], row_prompt)
            if index == len(self.layers) - 1:
                x_SD, mixed_SD = x_SD[last_P], mixed_SD[last_P]
            x_SD = self._finish(x_SD, mixed_SD, layer)
        return self.logits(x_SD), batch

    def _prefill_mask(self, padding_P: Tensor, longest: int) -> Tensor | None:
        """True where a column may look: at earlier columns of the prompt, and always at itself."""
        if not bool(padding_P.any()):
            return None
        column = torch.arange(longest)
        causal = column[:, None] >= column[None, :]
        # A padding column would otherwise have nothing to look at, and its NaN would spread.
        visible = (column[None, None, :] >= padding_P[:, None, None]) | torch.eye(longest, dtype=torch.bool)
        return (causal & visible)[:, None].to(self.device)

    def _open(self, padding_P: Tensor, row_prompt: Tensor, longest: int, num_columns: int) -> Batch:
        config = self.config
        shape = (config.num_layers, 2, len(row_prompt), config.num_heads, num_columns, config.head_width)
        if self._buffer.numel() < math.prod(shape):
            self._buffer = torch.empty(math.prod(shape), dtype=self.dtype, device=self.device)
        # Memory fresh from the system costs a page fault every 4 KiB, so batches share one buffer.
        cache = self._buffer[: math.prod(shape)].view(shape)
        padding_R = padding_P.to(self.device)[row_prompt]
        bias_RC = None
        if most := int(padding_P.max()):
            hidden_RC = torch.arange(most, device=self.device) < padding_R[:, None]
            bias_RC = torch.zeros(hidden_RC.shape, dtype=self.dtype, device=self.device)
            bias_RC.masked_fill_(hidden_RC, -torch.inf)
        return Batch(cache, longest, -padding_R, bias_RC)

    def _prefill_attention(
        self,
        x_SD: Tensor,
        layer: LayerWeights,
        cis: Tensor,
        slot_S: Tensor,
        mask: Tensor | None,
        cache: Tensor,
        row_prompt: Tensor,
    ) -> Tensor:
        """Attention within each prompt; fills the layer's cache, (2, R, H, C, W), of every row."""
        heads, width = self.config.num_heads, self.config.head_width
        num_prompts = int(row_prompt[-1]) + 1
        qkv = x_SD.new_empty(len(x_SD), 3, heads, width)
        self._qkv(x_SD, layer, qkv.unbind(1), cis)
        if mask is not None:
            longest = mask.shape[-1]
            padded = qkv.new_zeros(num_prompts * longest, 3, heads, width)
            qkv = padded.index_copy_(0, slot_S, qkv)
        q, k, v = qkv.view(num_prompts, -1, 3, heads, width).permute(2, 0, 3, 1, 4)
        cache[0, :, :, : k.shape[2]] = k[row_prompt]
        cache[1, :, :, : v.shape[2]] = v[row_prompt]
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None, scale=1.0)
        mixed_SD = mixed.transpose(1, 2).reshape(-1, heads * width)
        return mixed_SD if mask is None else mixed_SD[slot_S]

    def step(self, tokens_R: Tensor, batch: Batch) -> Tensor:
        """Append one token to each of the first R rows; logits_RV for the next."""
        rows, column = len(tokens_R), batch.length
        heads, width = self.config.num_heads, self.config.head_width
        cis = self.cis[batch.offset_R + column].unsqueeze(1)
        bias = None if batch.bias_RC is None else batch.bias_RC[:, None]
        padding = 0 if batch.bias_RC is None else batch.bias_RC.shape[1]
        x_RD = self.embedding[tokens_R]
        live = batch.cache[:, :, :rows]
        fresh = live[:, :, :, :, column]
        filled = live.flatten(2, 3)[:, :, :, : column + 1]
        q = x_RD.new_empty(rows, heads, width)
        for index, layer in enumerate(self.layers):
            self._qkv(x_RD, layer, (q, fresh[index, 0], fresh[index, 1]), cis)
            keys, values = filled[index].unbind(0)
            score = torch.bmm(q.view(rows * heads, 1, width), keys.transpose(1, 2))
            if bias is not None:
                score.view(rows, heads, -1)[:, :, :padding] += bias
            mixed_RD = torch.bmm(score.softmax(-1), values).view(rows, heads * width)
            x_RD = self._finish(x_RD, mixed_RD, layer)
        batch.length += 1
        return self.logits(x_RD)

    @staticmethod
    def keep(batch: Batch, alive_R: Tensor) -> Tensor:
        """Drop finished rows; only as many rows move as there are holes.

        Returns:
            Old index of each row that is left.
        """
        rows = len(alive_R)
        kept = alive_R.nonzero()[:, 0]
        count = len(kept)
        order = torch.arange(count, device=kept.device)
        holes = (~alive_R[:count]).nonzero()[:, 0]
        if len(holes):
            movers = kept[len(kept) - len(holes) :]
            order[holes] = movers
            filled = batch.cache[:, :, :rows, :, : batch.length]
            filled.index_copy_(2, holes, filled.index_select(2, movers))
        batch.offset_R = batch.offset_R[order]
        if batch.bias_RC is not None:
            batch.bias_RC = batch.bias_RC[order]
        return order
