"""Imports PyTorch at its first use: it takes seconds, which commands that only read files need not spend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch as torch
else:

    class _Torch:
        """Stands for the module `torch`, and imports it when one of its names is first asked for."""

        def __getattr__(self, name: str) -> Any:
            import torch

            return getattr(torch, name)

    torch = _Torch()
