"""The rows that are sampled together, and their keys and values.

Shapes: R rows (completions), P prompts, L longest prompt, S slots per prompt, C columns of the rows' own
cache, H heads, W entries per head.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def closing_up(alive_R: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """How the remaining rows close up: only as many move as there are gaps.

    Returns:
        Old index of each remaining row, the gaps that finished rows leave at the front, and the rows that
        move there.
    """
    alive = alive_R.nonzero()[:, 0]
    count = len(alive)
    order = torch.arange(count, device=alive.device)
    holes = (~alive_R[:count]).nonzero()[:, 0]
    movers = alive[count - len(holes) :]
    order[holes] = movers
    return order, holes, movers


@dataclass(slots=True)
class LiveRows:
    """Unfinished completions, and the cache of what they attend to.

    The prompts' keys and values exist once and are shared: for attention to them, the queries of one prompt
    are gathered into adjacent cells, S slots per prompt, and multiplied with the prompt's keys in one matrix
    product. Each row's own tokens have a separate cache.

    All prompts end at the same column of their cache; shorter ones leave columns on the left that the bias
    hides.

    Attributes:
        prompt: (layers, 2, H, P, L, W), keys and values.
        bias: (H, P, L), 0 or minus infinity for columns left of a prompt; None without such columns.
        own: (layers, 2, at least R, H, C, W), keys and values; rows beyond the live ones are unused.
        length: columns of `own` filled so far.
        prompt_R: the prompt that each row belongs to.
        position_R: position in the sequence of the first token of `own`.
        slots: S, the largest number of rows of any prompt.
        to_cells: (H x P x S), the flat (row, head) index whose query goes to each cell.
        to_rows: (R x H), the flat cell index of each row and head.
    """

    prompt: Tensor
    bias: Tensor | None
    own: Tensor
    length: int
    prompt_R: Tensor
    position_R: Tensor
    slots: int
    to_cells: Tensor
    to_rows: Tensor

    @classmethod
    def of(
        cls, prompt: Tensor, bias: Tensor | None, own: Tensor, prompt_R: Tensor, position_R: Tensor
    ) -> LiveRows:
        """Rows that have not appended any token yet."""
        nothing = prompt_R.new_empty(0)
        rows = cls(prompt, bias, own, 0, prompt_R, position_R, 0, nothing, nothing)
        rows._arrange()
        return rows

    def _arrange(self) -> None:
        """Assign rows to cells; drop the prompts without rows once they are a quarter of all prompts."""
        num_heads, num_prompts = self.prompt.shape[2:4]
        device = self.prompt_R.device
        count_P = torch.bincount(self.prompt_R, minlength=num_prompts)
        used_P = count_P > 0
        num_used = int(used_P.sum())
        if num_used <= 0.75 * num_prompts:
            used = used_P.nonzero()[:, 0]
            self.prompt = self.prompt.index_select(3, used)
            self.bias = None if self.bias is None else self.bias.index_select(1, used)
            self.prompt_R = (used_P.cumsum(0) - 1)[self.prompt_R]
            count_P, num_prompts = count_P[used], num_used
        self.slots = int(count_P.max())
        rows = torch.arange(len(self.prompt_R), device=device)
        order = self.prompt_R.argsort(stable=True)
        sorted_prompt = self.prompt_R[order]
        rank = rows - (count_P.cumsum(0) - count_P)[sorted_prompt]
        cell_R = torch.empty_like(rows)
        cell_R[order] = sorted_prompt * self.slots + rank
        # A cell without a row computes with row 0, and its result is never read.
        row_of_cell = rows.new_zeros(num_prompts * self.slots)
        row_of_cell[cell_R] = rows
        head = torch.arange(num_heads, device=device)
        self.to_cells = (row_of_cell * num_heads + head[:, None]).flatten()
        self.to_rows = (head * len(row_of_cell) + cell_R[:, None]).flatten()

    def keep(self, alive_R: Tensor) -> Tensor:
        """Drop finished rows, see `closing_up`.

        Returns:
            Old index of each remaining row.
        """
        order, holes, movers = closing_up(alive_R)
        if len(holes):
            filled = self.own[:, :, : len(alive_R), :, : self.length]
            filled.index_copy_(2, holes, filled.index_select(2, movers))
        self.prompt_R, self.position_R = self.prompt_R[order], self.position_R[order]
        self._arrange()
        return order
