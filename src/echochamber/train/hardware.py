"""What the machine could do at best, so that a run can say how close it comes."""

from __future__ import annotations

import torch

# Dense bfloat16 matrix-product peaks in FLOP/s, from the makers' data sheets (without sparsity).
# Matched by substring in this order: longer names first.
_PEAKS = {
    "H200": 989e12,
    "H100 NVL": 835e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "B200": 2250e12,
    "A100": 312e12,
    "L40S": 362e12,
    "RTX 4090": 165e12,
}


def peak_flops(device: torch.device, *, bfloat16: bool) -> float | None:
    """Matrix-product peak of a GPU that we know, in FLOP/s; None elsewhere.

    float32 runs on the TF32 units at half the bfloat16 rate, if those are allowed at all.
    """
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    peak = next((rate for known, rate in _PEAKS.items() if known in name), None)
    return peak if peak is None or bfloat16 else peak / 2
