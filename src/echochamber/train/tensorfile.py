"""Safetensors files written as a stream, so that a checkpoint needs no second copy in memory.

Format: https://github.com/huggingface/safetensors#format - eight bytes of little-endian header length,
a JSON header, the raw tensors one after another. Read back with the safetensors library.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from echochamber.base import fault_point
from echochamber.base.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

_DTYPES = {
    "torch.float64": "F64",
    "torch.float32": "F32",
    "torch.float16": "F16",
    "torch.bfloat16": "BF16",
    "torch.int64": "I64",
    "torch.int32": "I32",
    "torch.int16": "I16",
    "torch.int8": "I8",
    "torch.uint8": "U8",
    "torch.bool": "BOOL",
}


def _header(tensors: Mapping[str, Tensor], order: list[str]) -> bytes:
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name in order:
        tensor = tensors[name]
        size = tensor.numel() * tensor.element_size()
        entries[name] = {
            "dtype": _DTYPES[str(tensor.dtype)],
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + size],
        }
        offset += size
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> tuple[int, str]:
    """Write tensors from any device, durably.

    Returns:
        Bytes written and their SHA-256.

    Raises:
        OSError: the disk refused.
        KeyError: a dtype that safetensors does not know.
    """
    # Writing wide types first keeps every tensor aligned to its element size.
    order = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header = _header(tensors, order)
    found = hashlib.sha256(header)
    with path.open("wb") as stream:
        stream.write(header)
        stream.flush()
        fault_point("checkpoint.mid_write")
        for name in order:
            data = tensors[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
            found.update(data)
            stream.write(data)
        stream.flush()
        fault_point("checkpoint.before_fsync")
        os.fsync(stream.fileno())
    return path.stat().st_size, found.hexdigest()


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a file, on the CPU, in memory of their own (not mapped from the file)."""
    from safetensors.torch import load_file

    return {name: tensor.clone() for name, tensor in load_file(path).items()}
