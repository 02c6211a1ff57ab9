"""Single-token steps of fixed shapes, replayed as CUDA graphs on a GPU.

A small model on a GPU spends most of a step launching kernels. A graph launches all of them at once, but
replays the same kernels on the same memory. So the cache is allocated once and holds the whole sequence of
every row (prompt and own tokens), and steps come in a few shapes, with a power of two of rows and of columns.
What changes from step to step (tokens, positions, the column to write) is in tensors that the step itself
advances. On a CPU the same steps run without a graph, for tests.

Shapes: R rows of a bucket, C columns of a bucket, D width, H heads, W entries per head, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from echochamber.rollout.decoder import Decoder
from echochamber.rollout.live_rows import LiveRows, closing_up

LEAST_ROWS, LEAST_COLUMNS = 8, 128


def bucket(count: int, least: int) -> int:
    """The smallest power-of-two multiple of `least` that holds `count`."""
    size = least
    while size < count:
        size *= 2
    return size


def rows_within(count: int) -> int:
    """The largest bucket of rows that does not exceed `count`; one row is always allowed."""
    if count < LEAST_ROWS:
        return max(1, count)
    return LEAST_ROWS << ((count // LEAST_ROWS).bit_length() - 1)


@dataclass
class _Graph:
    graph: torch.cuda.CUDAGraph
    logits_RV: Tensor


class StaticSteps:
    """Steps for the rows of one batch at a time, in memory that outlives the batch.

    Args:
        decoder: the decoder whose weights are used, at their addresses, so it must load new ones in place.
        capture: replay CUDA graphs; otherwise the same steps run one kernel after another.

    Attributes:
        num_captured: number of graphs captured so far.
    """

    def __init__(self, decoder: Decoder, *, capture: bool) -> None:
        self._decoder, self._capture = decoder, capture
        self._graphs: dict[tuple[int, int], _Graph] = {}
        self._cache = torch.empty(0, dtype=decoder.dtype, device=decoder.device)
        self.num_captured = 0

    def open(self, live: LiveRows, num_columns: int) -> None:
        """Take over rows that have only read their prompts and may append up to `num_columns` tokens."""
        config, device = self._decoder.config, self._decoder.device
        rows, longest = len(live.prompt_R), live.prompt.shape[4]
        self._reserve(bucket(rows, LEAST_ROWS), bucket(longest + num_columns, LEAST_COLUMNS))
        self._rows = rows
        # All prompts end at the same column; shorter ones begin later.
        self._start_R[:rows] = longest - live.position_R
        self._position_R[:rows] = live.position_R
        self._column.fill_(longest)
        self._filled = longest
        for index in range(config.num_layers):
            own = self._cache[index, :, :rows, :, :longest]
            own.copy_(live.prompt[index].transpose(1, 2).index_select(1, live.prompt_R.to(device)))

    def _reserve(self, rows: int, columns: int) -> None:
        """Allocate memory for these rows and columns, and drop graphs that point into smaller memory."""
        config, device = self._decoder.config, self._decoder.device
        if self._cache.numel() and rows <= self._cache.shape[2] and columns <= self._cache.shape[4]:
            return
        self._graphs.clear()
        shape = (config.num_layers, 2, rows, config.num_heads, columns, config.head_width)
        # The old cache is freed before the larger one is allocated. It holds zeros because columns without
        # weight must still be finite.
        self._cache = torch.empty(0, dtype=self._decoder.dtype, device=device)
        self._cache = torch.zeros(shape, dtype=self._decoder.dtype, device=device)
        self._token_R = torch.zeros(rows, dtype=torch.int64, device=device)
        self._position_R = torch.zeros(rows, dtype=torch.int64, device=device)
        self._start_R = torch.zeros(rows, dtype=torch.int64, device=device)
        self._column = torch.zeros(1, dtype=torch.int64, device=device)
        self._column_C = torch.arange(columns, device=device)

    def keep(self, alive_R: Tensor) -> Tensor:
        """Drop finished rows as `LiveRows.keep` does; the rest move to the front, in the returned order."""
        order, holes, movers = closing_up(alive_R)
        if len(holes):
            filled = self._cache[:, :, :, :, : self._filled]
            for layer in filled:
                layer.index_copy_(1, holes, layer.index_select(1, movers))
            for values_R in (self._position_R, self._start_R):
                values_R.index_copy_(0, holes, values_R.index_select(0, movers))
        self._rows = len(order)
        return order

    def step(self, tokens_R: Tensor) -> Tensor:
        """Append one token to each row; returns logits_RV for the next, which the next step overwrites."""
        rows = bucket(self._rows, LEAST_ROWS)
        self._filled += 1
        columns = min(bucket(self._filled, LEAST_COLUMNS), self._cache.shape[4])
        self._token_R[: self._rows].copy_(tokens_R)
        # Rows beyond the live ones compute results that are never read; their positions must exist.
        self._position_R[self._rows : rows].zero_()
        if not self._capture:
            return self._run(rows, columns)[: self._rows]
        graph = self._graphs.get((rows, columns)) or self._captured(rows, columns)
        graph.graph.replay()
        return graph.logits_RV[: self._rows]

    def _captured(self, rows: int, columns: int) -> _Graph:
        """Capture the step of a shape. The warm-up run writes what the first replay writes again."""
        state = (self._column, self._position_R)
        before = [tensor.clone() for tensor in state]
        aside = torch.cuda.Stream(self._decoder.device)  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream(self._decoder.device))
        with torch.cuda.stream(aside):
            self._run(rows, columns)
        torch.cuda.current_stream(self._decoder.device).wait_stream(aside)
        for tensor, value in zip(state, before, strict=True):
            tensor.copy_(value)
        graph = torch.cuda.CUDAGraph()
        # One pool for all: a step's logits are used before another graph is replayed.
        pool = next((known.graph.pool() for known in self._graphs.values()), None)
        with torch.cuda.graph(graph, pool=pool):
            logits_RV = self._run(rows, columns)
        self._graphs[rows, columns] = _Graph(graph, logits_RV)
        self.num_captured += 1
        return self._graphs[rows, columns]

    def _run(self, rows: int, columns: int) -> Tensor:
        """The step itself: shapes depend only on the bucket, and nothing waits for the device."""
        decoder = self._decoder
        column_C = self._column_C[:columns]
        seen_RC = (column_C >= self._start_R[:rows, None]) & (column_C <= self._column)
        mask = seen_RC[:, None, None, :]
        # A finished row that is still here may be beyond the context; what it computes is dropped.
        position_R = self._position_R[:rows].clamp(max=decoder.config.context_length - 1)
        cis = decoder.cis[position_R].unsqueeze(1)
        x_RD = decoder.embedding.index_select(0, self._token_R[:rows])
        shape = (3, rows, decoder.config.num_heads, decoder.config.head_width)
        for index, layer in enumerate(decoder.layers):
            q, k, v = x_RD.new_empty(shape).unbind()
            decoder.project(x_RD, layer, (q, k, v), cis)
            keys, values = self._cache[index, :, :rows].unbind()
            keys.index_copy_(2, self._column, k.unsqueeze(2))
            values.index_copy_(2, self._column, v.unsqueeze(2))
            mixed = F.scaled_dot_product_attention(
                q.unsqueeze(2), keys[:, :, :columns], values[:, :, :columns], attn_mask=mask, scale=1.0
            )
            x_RD = decoder.finish(x_RD, mixed.reshape(rows, -1), layer)
        self._column += 1
        self._position_R[:rows] += 1
        return decoder.logits(x_RD)
