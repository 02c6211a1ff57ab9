"""The transformer as a sampler runs it: fused weights, a preallocated cache, no autograd, no modules.

The engine keeps its own copy of the weights, rearranged once per update instead of once per token
(`weights.rearranged`).

Shapes: R rows (completions), P prompts, S prompt tokens in one packed row, L longest prompt,
C columns of the rows' own cache, D width, H heads, W entries per head, M SwiGLU inner width, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from echochamber.model import Transformer, rotary_tables
from echochamber.rollout.live_rows import LiveRows
from echochamber.rollout.weights import LayerWeights, Matrix, rearranged

# Columns that the rows' own cache begins with: short rows then lie close together, which suits CPU caches.
FIRST_COLUMNS = 16


class Decoder:
    """Prefill and single-token steps on one copy of the weights.

    Args:
        dtype: dtype of the copy and of everything computed with it; None is the model's own.
    """

    def __init__(self, model: Transformer, dtype: torch.dtype | None = None) -> None:
        self.config = model.config
        self.source_dtype, self.device = model.embedding.dtype, model.embedding.device
        self.dtype = dtype or self.source_dtype
        self._buffers = [torch.empty(0, dtype=self.dtype, device=self.device) for _ in range(2)]
        # Below 400 multiplications per product, PyTorch's batched product on a CPU falls back from its fast
        # library to a loop that is up to six times slower; unused columns keep the number above that.
        self.least_columns = -(-400 // self.config.head_width) if self.device.type == "cpu" else 1
        width = self.config.head_width
        self._norm_shape = (self.config.d_model,)
        self._head_shape = (self.config.num_heads, width)
        self._pair_shape = (-1, 3, self.config.num_heads, width // 2, 2)
        # There are no complex numbers in half precision, so those weights rotate in float32.
        self.real = torch.float64 if self.dtype == torch.float64 else torch.float32
        # The model's own tables have its dtype, but angles need more precision than half precision has.
        cos, sin = rotary_tables(self.config, self.device)
        self.cis = torch.complex(cos.to(self.real), sin.to(self.real))
        self.layers: list[LayerWeights] = []
        self.embedding = model.embedding.detach().to(self.dtype, copy=True)
        self.head = Matrix(model.head_weight.detach().to(self.dtype))
        self.load(model)

    def fits(self, model: Transformer) -> bool:
        """Whether `load` can take the weights of this model."""
        weights = model.embedding
        return (model.config, weights.dtype, weights.device) == (
            self.config,
            self.source_dtype,
            self.device,
        )

    @torch.no_grad()
    def load(self, model: Transformer) -> None:
        """Copy the weights of a model that fits into the memory of the previous ones, where graphs point."""
        self.embedding.copy_(model.embedding.detach())
        self.head.load(model.head_weight.detach().to(self.dtype))
        for index, block in enumerate(model.blocks):
            arranged = rearranged(block, self.config, self.dtype)
            if index < len(self.layers):
                self.layers[index].load(arranged)
            else:
                self.layers.append(LayerWeights.of(arranged))

    def prefill(
        self, prompts: Sequence[Sequence[int]], rows_of_prompt: Sequence[int], num_columns: int
    ) -> tuple[Tensor, LiveRows]:
        """Read the prompts once each and open `rows_of_prompt[p]` rows for prompt p.

        Linear layers run only on the prompt tokens, concatenated without padding. In the last block only the
        prompts' last tokens go beyond keys and values.

        Args:
            num_columns: the largest number of tokens that a row will append.

        Returns:
            Logits after each prompt, (P, V), and the rows in the order of the prompts.
        """
        config = self.config
        lengths = torch.tensor([len(p) for p in prompts])
        longest = int(lengths.max())
        tokens_S = torch.tensor([t for p in prompts for t in p], device=self.device)
        prompt_S = torch.repeat_interleave(torch.arange(len(prompts)), lengths)
        last_P = lengths.cumsum(0) - 1
        position_S = torch.arange(len(tokens_S)) - (last_P - lengths + 1)[prompt_S]
        slot_S = (prompt_S * longest + position_S + (longest - lengths)[prompt_S]).to(self.device)
        shape = (config.num_layers, 2, config.num_heads, len(prompts), longest, config.head_width)
        cache = torch.empty(shape, dtype=self.dtype, device=self.device)
        hidden_PL, mask = self._padding(longest - lengths, longest)
        cis = self.cis[position_S.to(self.device)].unsqueeze(1)
        last_P = last_P.to(self.device)
        x_SD = self.embedding[tokens_S]
        for index, layer in enumerate(self.layers):
            mixed_SD = self._prefill_attention(x_SD, layer, cis, slot_S, mask, cache[index])
            if index == len(self.layers) - 1:
                x_SD, mixed_SD = x_SD[last_P], mixed_SD[last_P]
            x_SD = self.finish(x_SD, mixed_SD, layer)
        prompt_R = torch.repeat_interleave(torch.arange(len(prompts)), torch.tensor(list(rows_of_prompt)))
        live = self._open(cache, hidden_PL, prompt_R.to(self.device), lengths, num_columns)
        return self.logits(x_SD), live

    def _padding(self, padding_P: Tensor, longest: int) -> tuple[Tensor | None, Tensor | None]:
        """Columns left of each prompt, (P, L), and the mask of the prefill; None and None without padding.

        The mask is True where a column may attend: to earlier columns of its prompt, and always to itself.
        """
        if not bool(padding_P.any()):
            return None, None
        column = torch.arange(longest)
        hidden_PL = column < padding_P[:, None]
        causal = column[:, None] >= column[None, :]
        # A padding column would otherwise have nothing to attend to, and its NaN would spread.
        mask = causal & (~hidden_PL[:, None, :] | torch.eye(longest, dtype=torch.bool))
        return hidden_PL.to(self.device), mask.to(self.device)

    def _prefill_attention(
        self,
        x_SD: Tensor,
        layer: LayerWeights,
        cis: Tensor,
        slot_S: Tensor,
        mask: Tensor | None,
        cache: Tensor,
    ) -> Tensor:
        """Attention within each prompt; fills the layer's keys and values, (2, H, P, L, W)."""
        heads, width = self.config.num_heads, self.config.head_width
        num_prompts, longest = cache.shape[2:4]
        qkv = x_SD.new_empty(len(x_SD), 3, heads, width)
        q, k, v = qkv.unbind(1)
        self.project(x_SD, layer, (q, k, v), cis)
        if mask is not None:
            padded = qkv.new_zeros(num_prompts * longest, 3, heads, width)
            qkv = padded.index_copy_(0, slot_S, qkv)
        qkv = qkv.view(num_prompts, longest, 3, heads, width).permute(2, 3, 0, 1, 4)
        cache.copy_(qkv[1:])
        mixed = F.scaled_dot_product_attention(
            qkv[0], cache[0], cache[1], attn_mask=mask, is_causal=mask is None, scale=1.0
        )
        mixed_SD = mixed.permute(1, 2, 0, 3).reshape(-1, heads * width)
        return mixed_SD if mask is None else mixed_SD[slot_S]

    def _open(
        self, cache: Tensor, hidden_PL: Tensor | None, prompt_R: Tensor, lengths: Tensor, num_columns: int
    ) -> LiveRows:
        config = self.config
        bias = None
        if hidden_PL is not None:
            bias = torch.zeros(hidden_PL.shape, dtype=self.dtype, device=self.device)
            bias = bias.masked_fill_(hidden_PL, -torch.inf).repeat(config.num_heads, 1, 1)
        columns = max(self.least_columns, min(num_columns, FIRST_COLUMNS))
        shape = (config.num_layers, 2, len(prompt_R), config.num_heads, columns, config.head_width)
        own = self._memory(shape)
        # Columns that a step reads before they are written have no weight but must be finite.
        own[:, 1, :, :, : self.least_columns] = 0
        return LiveRows.of(cache, bias, own, prompt_R, lengths.to(self.device)[prompt_R])

    def step(self, tokens_R: Tensor, live: LiveRows) -> Tensor:
        """Append one token to each of the first R rows; returns logits_RV for the next token."""
        rows, column = tokens_R.shape[0], live.length
        heads, width = self.config.num_heads, self.config.head_width
        if column == live.own.shape[4]:
            self._grow(live, rows)
        longest = live.prompt.shape[4]
        span = max(column + 1, self.least_columns)
        # A finished row that is still here may be beyond the context; what it computes is dropped.
        position_R = (live.position_R + column).clamp_(max=self.config.context_length - 1)
        cis = self.cis[position_R].unsqueeze(1)
        own = live.own[:, :, :rows]
        # Views are made for all layers at once: one by one, they would cost as much as the small products.
        fresh = own[:, :, :, :, column]
        fresh_keys, fresh_values = self._rotating(fresh[:, 0]).unbind(), fresh[:, 1].unbind()
        filled = own.flatten(2, 3)[:, :, :, :span]
        own_keys, own_values = filled[:, 0].transpose(2, 3).unbind(), filled[:, 1].unbind()
        prompt = live.prompt.flatten(2, 3)
        prompt_keys, prompt_values = prompt[:, 0].transpose(2, 3).unbind(), prompt[:, 1].unbind()
        bias = None if live.bias is None else live.bias.flatten(0, 1)[:, None].expand(-1, live.slots, -1)
        cell_shape = (-1, live.slots, width)
        weight_shape = (-1, live.slots, longest)
        x_RD = self.embedding.index_select(0, tokens_R)
        q = x_RD.new_empty(rows, heads, width)
        turned_q, flat_q, single_q = self._rotating(q), q.view(-1, width), q.view(-1, 1, width)
        for index, layer in enumerate(self.layers):
            self._qkv(x_RD, layer, (turned_q, fresh_keys[index], fresh_values[index]), cis)
            cell_q = flat_q.index_select(0, live.to_cells).view(cell_shape)
            if bias is None:
                cells = torch.bmm(cell_q, prompt_keys[index])
            else:
                cells = torch.baddbmm(bias, cell_q, prompt_keys[index])
            score_own = torch.bmm(single_q, own_keys[index]).squeeze(1)
            if span > column + 1:
                score_own[:, column + 1 :] = -torch.inf
            score_prompt = cells.view(-1, longest).index_select(0, live.to_rows)
            weight = torch.cat((score_prompt, score_own), dim=1).softmax(-1)
            weight_prompt, weight_own = weight[:, :longest], weight[:, longest:]
            cells = torch.bmm(
                weight_prompt.index_select(0, live.to_cells).view(weight_shape), prompt_values[index]
            )
            mixed = cells.view(-1, width).index_select(0, live.to_rows).unsqueeze(1)
            mixed.baddbmm_(weight_own.unsqueeze(1), own_values[index])
            x_RD = self.finish(x_RD, mixed.view(rows, -1), layer)
        live.length += 1
        return self.logits(x_RD)

    def project(
        self, x_RD: Tensor, layer: LayerWeights, targets: tuple[Tensor, Tensor, Tensor], cis: Tensor
    ) -> None:
        """Write rotated queries, rotated keys and values to plain (R, H, W) targets."""
        q, k, v = targets
        self._qkv(x_RD, layer, (self._rotating(q), self._rotating(k), v), cis)

    def _qkv(
        self, x_RD: Tensor, layer: LayerWeights, targets: tuple[Tensor, Tensor, Tensor], cis: Tensor
    ) -> None:
        """Write rotated queries, rotated keys and values, each (R, H, W), to targets made by `_rotating`."""
        qkv = layer.qkv(self._norm(x_RD)).view(-1, 3, *self._head_shape)
        if self.dtype == self.real:
            q, k, _ = torch.view_as_complex(qkv.view(self._pair_shape)).unbind(1)
            torch.mul(q, cis, out=targets[0])
            torch.mul(k, cis, out=targets[1])
        else:
            for source, target in zip(qkv.unbind(1), targets[:2], strict=False):
                target.copy_(torch.view_as_real(_pairs(source.to(self.real)) * cis).flatten(2))
        targets[2].copy_(qkv.select(1, 2))

    def _rotating(self, target: Tensor) -> Tensor:
        """`target` in the form that `_qkv` takes for queries and keys: complex pairs where possible."""
        return _pairs(target) if self.dtype == self.real else target

    def finish(self, x_RD: Tensor, mixed_RD: Tensor, layer: LayerWeights) -> Tensor:
        """The rest of the block after attention; the residual stream is updated in place."""
        x_RD.addmm_(mixed_RD, layer.out)
        gate_up = layer.gate_up(self._norm(x_RD))
        gate, up = gate_up.chunk(2, dim=1)
        return x_RD.addmm_(F.silu(gate).mul_(up), layer.down)

    def logits(self, x_RD: Tensor) -> Tensor:
        """logits_RV of the residual stream after the last block."""
        return self.head(self._norm(x_RD))

    def _norm(self, x: Tensor) -> Tensor:
        return torch.layer_norm(x, self._norm_shape, None, None, self.config.norm_eps, False)

    def _grow(self, live: LiveRows, rows: int) -> None:
        """Double the columns of the rows' own cache."""
        layers, _, _, heads, columns, width = live.own.shape
        own = self._memory((layers, 2, rows, heads, 2 * columns, width))
        own[..., :columns, :] = live.own[:, :, :rows]
        live.own = own

    def _memory(self, shape: tuple[int, ...]) -> Tensor:
        """An uninitialized tensor in memory that outlives the batch.

        Fresh memory costs a page fault every 4 KiB. Two buffers are used in turn, so that a cache can grow
        from one into the other.
        """
        size = math.prod(shape)
        self._buffers.reverse()
        if self._buffers[0].numel() < size:
            self._buffers[0] = torch.empty(size, dtype=self.dtype, device=self.device)
        return self._buffers[0][:size].view(shape)


def _pairs(x: Tensor) -> Tensor:
    """A view whose last axis has the pairs of adjacent entries as complex numbers."""
    return torch.view_as_complex(x.view(*x.shape[:-1], x.shape[-1] // 2, 2))
